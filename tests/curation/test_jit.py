"""Compiled code is cached: by concurrent processes, and by an install that is not writable."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KERNEL = Path("curation", "flow", "lucas_kanade")

MEASURE = """
import sys, numpy as np
from curation.flow.lucas_kanade import all_pairs, corners, tracking
clip = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
measured = np.array(all_pairs.measure_all_pairs(clip))
entries = tracking.track_sources, corners.find_padded_corners
print(measured.tobytes().hex(), sum(sum(entry.stats.cache_hits.values()) for entry in entries))
"""
"""Prints the result in hexadecimal and the number of cache hits."""

FIND_CORNERS = """
import numpy as np
from curation.flow.lucas_kanade import all_pairs, corners
clip = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
padded = np.pad(clip, ((0, 0), (16, 16), (16, 16)), mode="reflect")
result = all_pairs.find_all_corners(clip, padded, np.arange(3))[0]
print(result.tobytes().hex(), sum(corners.find_padded_corners.stats.cache_hits.values()))
"""
"""Like MEASURE, with half as much to compile."""


def start(package: Path, script: str = MEASURE, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA")}
    return subprocess.Popen(
        command, cwd=package, env=clean | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, int]:
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    result, cache_hits = out.split()
    return hashlib.sha256(result.encode()).hexdigest(), int(cache_hits)


def test_concurrent_processes_leave_a_valid_cache(tmp_path: Path) -> None:
    env = {"NUMBA_CACHE_DIR": str(tmp_path)}
    first = [finish(process) for process in [start(ROOT, **env) for _ in range(2)]]
    later_result, later_hits = finish(start(ROOT, **env))
    assert later_hits == 2
    assert {result for result, _ in first} == {later_result}


@pytest.mark.skipif(sys.platform == "win32", reason="XDG_CACHE_HOME is not used on Windows")
def test_install_that_is_not_writable_uses_the_user_cache(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "curation", tmp_path / "curation", ignore=shutil.ignore_patterns("__pycache__"))
    # A file instead of the folder: permissions would not stop root.
    (tmp_path / KERNEL / "__pycache__").write_text("")
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    result, _ = finish(start(tmp_path, FIND_CORNERS, **env))
    assert list((tmp_path / "cache").rglob("*.nbi"))
    assert finish(start(tmp_path, FIND_CORNERS, **env)) == (result, 1)


def test_missing_cache_directory_is_a_warning(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "curation", tmp_path / "curation", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / KERNEL / "__pycache__").write_text("")
    (tmp_path / "cache").write_text("")
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", "import curation.flow.lucas_kanade.tracking"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "compiled code cannot be cached" in done.stderr


def test_driver_does_not_import_numba() -> None:
    code = "import sys, curation.pipeline; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
