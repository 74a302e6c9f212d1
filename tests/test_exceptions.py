"""Every long file and function is listed in docs/exceptions.md with its reason, and nothing else is."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "exceptions.md"
MAX_FILE_LINES, MAX_FUNCTION_LINES = 300, 60
FILES = [
    ROOT / "cli.py",
    *(
        path
        for room in ("curation", "shards", "training", "tests", "examples", "benchmarks", "docs")
        for path in sorted((ROOT / room).rglob("*.py"))
    ),
]


def listed(heading: str) -> set[str]:
    """Return the first column of the table under a heading of the page."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([^|`]+)` \|", section, re.MULTILINE))


def test_long_files_are_listed():
    long = {path.relative_to(ROOT).as_posix() for path in FILES if len(path.read_text().splitlines()) > MAX_FILE_LINES}
    assert long == listed("Files over 300 lines")


def test_long_functions_are_listed():
    long = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_function and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES:
                long.add(f"{path.relative_to(ROOT).as_posix()}: {node.name}")
    assert long == listed("Functions over 60 lines")
