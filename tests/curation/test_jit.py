"""Compiled code is kept: by processes at once, where nothing may be written, and where nothing can be."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MEASURE = """
import sys, numpy as np
from curation import corners, lucas_kanade, tracking
clip = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
measured = np.array(lucas_kanade.measure_all_pairs(clip))
entries = tracking.track_sources, corners.find_padded_corners
print(measured.tobytes().hex(), sum(sum(entry.stats.cache_hits.values()) for entry in entries))
"""


FIND_CORNERS = """
import numpy as np
from curation import corners, lucas_kanade
clip = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
padded = np.pad(clip, ((0, 0), (16, 16), (16, 16)), mode="reflect")
found = lucas_kanade.find_all_corners(clip, padded, np.arange(3))[0]
print(found.tobytes().hex(), sum(corners.find_padded_corners.stats.cache_hits.values()))
"""
"""Half as much to compile."""


def start(package: Path, script: str = MEASURE, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA")}
    return subprocess.Popen(
        command, cwd=package, env=clean | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, int]:
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    measured, cache_hits = out.split()
    return hashlib.sha256(measured.encode()).hexdigest(), int(cache_hits)


def test_processes_that_compile_at_once_leave_a_cache_that_serves(tmp_path: Path) -> None:
    env = {"NUMBA_CACHE_DIR": str(tmp_path)}
    first = [finish(process) for process in [start(ROOT, **env) for _ in range(2)]]
    again = finish(start(ROOT, **env))
    assert again[1] == 2
    assert {measured for measured, _ in first} == {again[0]}


@pytest.mark.skipif(sys.platform == "win32", reason="the user's cache directory is found by XDG_CACHE_HOME")
def test_an_install_that_cannot_be_written_uses_the_users_cache(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "curation", tmp_path / "curation", ignore=shutil.ignore_patterns("__pycache__"))
    # A file in the way stops even root, whom permissions do not.
    (tmp_path / "curation" / "__pycache__").write_text("")
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    found, _ = finish(start(tmp_path, FIND_CORNERS, **env))
    assert list((tmp_path / "cache").rglob("*.nbi"))
    assert finish(start(tmp_path, FIND_CORNERS, **env)) == (found, 1)


def test_no_place_to_keep_compiled_code_is_a_warning(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "curation", tmp_path / "curation", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "curation" / "__pycache__").write_text("")
    (tmp_path / "cache").write_text("")
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", "import curation.flow.lucas_kanade.tracking"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "compiled code is not kept" in done.stderr


def test_importing_the_room_alone_stays_light() -> None:
    code = "import sys, curation; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
