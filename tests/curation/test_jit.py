"""Compiled code: one process compiles, the others load; a change recompiles; an unsafe cache is not loaded."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from curation.code_cache import open_cache
from curation.flow.measure import warm_up_measuring
from tests.curation.helpers import PIX2GIF

ROOT = Path(__file__).resolve().parents[2]

SMALL_MODULE = """
from curation.code_cache import fill_once
from curation.decode.factor import FACTOR
from curation.jit import compile_entry

@compile_entry
def multiply(number):
    return number * FACTOR

@fill_once
def warm_up():
    multiply(1)
"""
"""Compiles in half a second, where the decoder takes many."""

MULTIPLY = """
from curation.decode import small
small.warm_up()
print(small.multiply(21), len(small.multiply.stats.cache_misses))
"""
"""Prints a result and how many functions were compiled, not loaded."""

HANG = """
import time
from curation.decode import small
small.multiply = lambda _: (print("compiling", flush=True), time.sleep(600))
small.warm_up()
"""
"""A process that compiles for ten minutes."""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the code with one more compiled function."""
    for name in ("curation", "shards"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "curation/decode/small.py").write_text(SMALL_MODULE)
    (tmp_path / "curation/decode/factor.py").write_text("FACTOR = 2")
    return tmp_path


def start(package: Path, script: str = MULTIPLY, **env: str) -> subprocess.Popen[str]:
    """Start a process with the package; its user cache is in the same folder."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA")}
    clean |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(package), "XDG_CACHE_HOME": str(package / "cache")}
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=package,
        env=clean | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> list[int]:
    """Return the result and the number of compiled functions."""
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return [int(word) for word in out.split()]


def test_one_of_several_processes_compiles(package: Path) -> None:
    processes = [start(package) for _ in range(3)]
    assert sorted(map(finish, processes)) == [[42, 0], [42, 0], [42, 1]]


def test_killed_compiler_leaves_no_lock(package: Path) -> None:
    compiler = start(package, HANG)
    assert compiler.stdout
    assert compiler.stdout.readline() == "compiling\n"
    waiting = start(package)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(2)
    compiler.kill()
    compiler.communicate()
    assert finish(waiting) == [42, 1]
    assert finish(start(package)) == [42, 0]


def test_change_of_another_file_recompiles(package: Path) -> None:
    assert finish(start(package)) == [42, 1]
    (package / "curation/decode/factor.py").write_text("FACTOR = 3")
    assert finish(start(package)) == [63, 1]


def test_cache_that_others_can_write_to_is_not_loaded(package: Path) -> None:
    cache = {"NUMBA_CACHE_DIR": str(package / "chosen")}
    assert finish(start(package, **cache)) == [42, 1]
    assert finish(start(package, **cache)) == [42, 0]
    (package / "chosen").chmod(0o777)
    out, errors = start(package, **cache).communicate(timeout=300)
    assert out == "42 1\n"
    assert f"other users can write to {package / 'chosen'}; run chmod go-w" in errors


def test_missing_cache_folder_is_a_warning(package: Path) -> None:
    (package / "cache").write_text("")
    out, errors = start(package).communicate(timeout=300)
    assert out == "42 1\n"
    assert errors.count("UserWarning: compiled code is not cached") == 1


def test_first_run_says_that_it_compiles(listing: Path, tmp_path: Path) -> None:
    rows = listing.read_text(encoding="utf-8").splitlines(keepends=True)
    (listing.parent / "two.tsv").write_text("".join(rows[:2]), encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    env["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    marker = fill_cache()
    # A copy of the cache without the marker, because compiling takes half a minute.
    copy = tmp_path / "cache/pix2gif/compiled" / marker.parent.name
    shutil.copytree(marker.parent, copy, ignore=shutil.ignore_patterns("*.tmp.*"))
    (copy / marker.name).unlink()
    outputs = []
    for number in range(2):
        command = [PIX2GIF, "curate", str(listing.parent / "two.tsv"), "--out", str(tmp_path / f"out-{number}")]
        command += ["--workers", "0"]
        outputs.append(subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=True))
    assert [line for line in outputs[0].stderr.splitlines() if line.startswith("compil")] == [
        "compiling the decoder and the motion kernel, once on this machine"
    ]
    assert ", compile " in outputs[0].stdout
    assert "compil" not in outputs[1].stderr + outputs[1].stdout


def test_warm_up_compiles_every_entry_point() -> None:
    marker = fill_cache()
    compiled = [path for path in marker.parent.rglob("*.1.nbc") if path.stat().st_mtime <= marker.stat().st_mtime]
    assert list_entries("decode", "flow") <= {path.name.partition("-")[0] for path in compiled}


def fill_cache() -> Path:
    """Fill the cache of the test suite; return the marker."""
    warm_up_measuring()
    marker = open_cache().marker(warm_up_measuring)
    assert marker, "the test suite has no cache"
    return marker


def list_entries(*rooms: str) -> set[str]:
    """Return the compiled entry points of some rooms, as module.function."""
    paths = [path for room in rooms for path in (ROOT / "curation" / room).rglob("*.py")]
    return {
        f"{path.stem}.{name}"
        for path in paths
        for name in re.findall(r"@compile_entry\ndef (\w+)", path.read_text(encoding="utf-8"))
    }


def test_driver_does_not_import_numba() -> None:
    code = "import sys, curation.pipeline; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
