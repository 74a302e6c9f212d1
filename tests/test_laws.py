"""Import rules that import-linter cannot check: imports of the module `cli`, and what is loaded at run time."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("curation", "shards", "training")
HEAVY = ("ray", "torch", "cv2", "numba", "webdataset", "diffusers", "transformers")


def find_calls(path: Path, owner: str, name: str) -> list[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = ((node, node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [
        call
        for call, function in functions
        if isinstance(function, ast.Attribute)
        and function.attr == name
        and isinstance(function.value, ast.Name)
        and function.value.id == owner
    ]


def imported_names(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_nobody_imports_cli(room):
    paths = sorted((ROOT / room).rglob("*.py"))
    assert paths
    assert [path for path in paths if "cli" in imported_names(path)] == []


@pytest.mark.parametrize("room", [*ROOMS, "examples"])
def test_pictures_are_opened_in_named_formats_only(room):
    calls = [(path, call) for path in (ROOT / room).rglob("*.py") for call in find_calls(path, "Image", "open")]
    assert calls or room == "shards"
    assert [
        f"{path}:{call.lineno}" for path, call in calls if "formats" not in {keyword.arg for keyword in call.keywords}
    ] == []


def test_importing_cli_loads_nothing_heavy():
    code = f"import sys, cli; print([name for name in {HEAVY} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert ended.stdout.strip() == "[]"


def test_curation_runs_where_torch_cannot_be_imported(tmp_path, listing):
    code = (
        "import sys\n"
        "for name in ('torch', 'diffusers', 'transformers', 'ray'): sys.modules[name] = None\n"
        "import cli\n"
        f"sys.argv = ['pix2gif-curate', {str(listing)!r}, '--out', {str(tmp_path / 'out')!r}, '--workers', '0']\n"
        "cli.curate_main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "out" / "dataset.json").exists()
