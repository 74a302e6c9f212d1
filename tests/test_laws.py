"""Import rules that import-linter cannot check: imports of the module `cli`, and what is loaded at run time."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("curation", "shards", "training")
HEAVY = ("ray", "torch", "cv2", "numba", "webdataset", "diffusers", "transformers")


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
