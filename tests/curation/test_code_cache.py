"""The folder of compiled code: what its key covers, when it is safe, and what the compile stage prints."""

import ast
import os
import shutil
import time
from pathlib import Path

import pytest

from curation import code_cache
from curation.code_cache import CodeCache, find_fault, list_sources, open_cache
from curation.options import RunOptions
from curation.run import compile_stage
from curation.run.compile_stage import compile_for_driver
from curation.run.progress import Progress
from tests.curation.helpers import make_run

ROOT = Path(__file__).resolve().parents[2]

find_cache = open_cache.__wrapped__
"""`open_cache` without its memory."""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delenv("NUMBA_BOUNDSCHECK", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))


def imported_files(path: Path) -> set[Path]:
    """Return the project's files that a module imports from."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)]
    names = [name for node in nodes for name in (node.module, *(f"{node.module}.{item.name}" for item in node.names))]
    files = {ROOT / f"{name.replace('.', '/')}.py" for name in names}
    return {file for file in files if file.exists()}


def test_key_covers_every_module_with_compiled_functions_and_what_it_imports() -> None:
    sources = set(list_sources())
    compiled = {path for path in (ROOT / "curation").rglob("*.py") if "from curation.jit import" in path.read_text()}
    assert len(compiled) >= 6
    assert compiled <= sources
    assert {file for path in compiled for file in imported_files(path)} <= sources


def test_key_changes_with_any_source_a_new_file_and_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "curation", tmp_path / "curation", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_cache, "_PACKAGE", tmp_path / "curation")
    keys = [find_cache().folder.name]
    for path in list_sources():
        path.write_bytes(path.read_bytes() + b"\n")
        keys.append(find_cache().folder.name)
    (tmp_path / "curation/decode/another.py").write_text("")
    keys.append(find_cache().folder.name)
    monkeypatch.setenv("NUMBA_OPT", "0")
    keys.append(find_cache().folder.name)
    assert len(keys) == len(set(keys)) == len(list_sources()) + 2


def test_folder_is_private_and_the_same_each_time(tmp_path: Path) -> None:
    folder = find_cache().folder
    assert folder.parent == tmp_path / "user/pix2gif/compiled"
    assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent, folder.parent.parent)] == [0o700] * 3
    assert find_cache().folder == folder


def test_chosen_folder_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    default = find_cache().folder
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "chosen"))
    assert find_cache().folder == tmp_path / "chosen" / default.name


@pytest.mark.parametrize("mode", [0o720, 0o702])
@pytest.mark.parametrize("depth", range(3))
def test_folder_that_others_can_write_to_is_not_used(depth: int, mode: int) -> None:
    folder = find_cache().folder
    unsafe = (folder, *folder.parents)[depth]
    unsafe.chmod(mode)
    fault = (
        f"other users can write to {unsafe}; run chmod go-w {unsafe}, or set NUMBA_CACHE_DIR to a folder of your own"
    )
    assert find_cache() == CodeCache(folder=None, fault=fault)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("name", ["", "planted.nbi"])
def test_files_of_others_are_not_used(name: str) -> None:
    folder = find_cache().folder
    (folder / "planted.nbi").write_text("")
    os.chown(folder / name, 65534, 65534)
    assert find_cache().fault.startswith(f"{folder / name} belongs to another user")


def test_links_are_not_used(tmp_path: Path) -> None:
    folder = find_cache().folder
    (folder / "planted.nbi").symlink_to(tmp_path / "elsewhere")
    assert find_cache().fault == f"{folder / 'planted.nbi'} is neither a folder nor a regular file; remove it"


def test_link_in_place_of_the_folder_is_not_used(tmp_path: Path) -> None:
    folder = find_cache().folder
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert find_cache().fault == f"{folder} is neither a folder nor a regular file; remove it"


def test_permissions_of_files_matter_where_others_can_reach_them(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o755)
    file = tmp_path / "cache" / "code.nbi"
    file.write_text("")
    file.chmod(0o664)
    assert "other users can write to" in (find_fault([tmp_path / "cache"]) or "")
    (tmp_path / "cache").chmod(0o700)
    assert find_fault([tmp_path / "cache"]) is None


def test_folder_that_cannot_be_made_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "user").write_text("")
    fault = f"cannot make {tmp_path / 'user'}: File exists; set NUMBA_CACHE_DIR to a folder of your own"
    assert find_cache() == CodeCache(folder=None, fault=fault)


def test_bounds_checking_uses_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_BOUNDSCHECK", "1")
    assert find_cache() == CodeCache(folder=None, fault=None)


def test_folders_that_are_unused_for_a_month_are_removed() -> None:
    base = find_cache().folder.parent
    month_ago_s = time.time() - 31 * 24 * 3600
    for name in ("old", "recent"):
        (base / name).mkdir()
    os.utime(base / "old", (month_ago_s, month_ago_s))
    os.utime(find_cache().folder, (month_ago_s, month_ago_s))
    assert {path.name for path in base.iterdir()} == {"recent", find_cache().folder.name}


def warm_up() -> None:
    """Compile nothing."""


@pytest.mark.parametrize("quiet", [False, True])
def test_unused_cache_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], quiet: bool
) -> None:
    monkeypatch.setattr(compile_stage, "open_cache", lambda: CodeCache(folder=None, fault="no folder; make one"))
    run = make_run(RunOptions(listing=tmp_path / "listing.tsv", out=tmp_path / "out"), progress=Progress(quiet=quiet))
    for _ in range(2):
        compile_for_driver(run, warm_up, "nothing")
    message = "compiled code is not cached, so every process compiles: no folder; make one\n"
    assert capsys.readouterr().err == ("" if quiet else message)
    assert run.progress.seconds == {}
