"""docs/exceptions.md against the code: every exception from the house's rules stands there, and nothing else does."""

import ast
import re
import tokenize
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "exceptions.md"
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 300, 60
FILES = [
    ROOT / "cli.py",
    *(
        path
        for room in ("curation", "shards", "training", "tests", "examples", "benchmarks", "docs")
        for path in sorted((ROOT / room).rglob("*.py"))
    ),
]


def listed(heading: str) -> dict[str, str]:
    """The first two columns of the table under a heading of the page; empty where there is none."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `?([^|`]+?)`? \| ([^|]+?) \|", section, re.MULTILINE)[1:])


def check_counts(pattern: str, files: list[Path], heading: str) -> None:
    """Hold the rules that comments of the code name against the page."""
    found: Counter[str] = Counter()
    for path in files:
        with tokenize.open(path) as file:
            tokens = list(tokenize.generate_tokens(file.readline))
        comments = "\n".join(token.string for token in tokens if token.type == tokenize.COMMENT)
        for named in re.findall(pattern, comments):
            found.update(re.findall(r"[\w-]+", named))
    told = {rule: int(times) for rule, times in listed(heading).items()}
    apart = {rule: (found[rule], told.get(rule, 0)) for rule in {*found, *told} if found[rule] != told.get(rule, 0)}
    assert not apart, f"{PAGE.name}: rule, (times in the code, times on the page): {apart}"


def test_no_file_outgrows_a_sitting_unless_it_is_listed():
    long = {
        path.relative_to(ROOT).as_posix() for path in FILES if len(path.read_text().splitlines()) > MOST_LINES_OF_A_FILE
    }
    assert long == set(listed("Files over 300 lines"))


def test_no_function_is_long_unless_it_is_listed():
    long = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_function and node.end_lineno - node.lineno >= MOST_LINES_OF_A_FUNCTION:
                long.add(f"{path.relative_to(ROOT).as_posix()}: {node.name}")
    assert long == set(listed("Functions over 60 lines"))


def test_every_lint_rule_that_is_passed_over_is_listed_as_often_as_it_is():
    check_counts(r"# noqa: ((?:[A-Z]+\d+(?:, )?)+)", FILES, "Lint rules passed over (`noqa`)")


def test_every_type_that_is_passed_over_is_listed_as_often_as_it_is():
    typed = [path for path in FILES if path.relative_to(ROOT).parts[0] in ("cli.py", "curation", "shards", "training")]
    check_counts(r"# type: ignore\[([^\]]+)\]", typed, "Types passed over (`type: ignore`)")
