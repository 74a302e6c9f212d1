"""Compiled code: one process compiles, the others load; a change recompiles; an unsafe cache is not loaded."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.curation.helpers import PIX2GIF

ROOT = Path(__file__).resolve().parents[2]

DECODE = """
import io, sys
import numpy as np
from PIL import Image
from curation.decode.decoder import FrameDecoder, warm_up_decoder

def count_compiled():
    modules = [module for name, module in sys.modules.items() if name.startswith("curation.")]
    functions = {value for module in modules for value in vars(module).values() if hasattr(value, "stats")}
    return sum(sum(function.stats.cache_misses.values()) for function in functions)

warm_up_decoder()
num_compiled = count_compiled()
frames = np.random.default_rng(0).integers(0, 256, (3, 40, 48, 3), dtype=np.uint8)
first, *others = map(Image.fromarray, frames)
gif = io.BytesIO()
first.save(gif, "GIF", save_all=True, append_images=others, disposal=[1, 2, 3])
decoded = np.stack([frame.rgb for frame in FrameDecoder(gif.getvalue(), 32, max_pixels=10_000)])
assert count_compiled() == num_compiled, "the warm-up did not compile everything"
print(decoded.tobytes().hex(), num_compiled)
"""
"""Prints a result in hexadecimal and how many functions were compiled, not loaded."""

HANG = """
import time
from curation.decode import decoder
decoder.FrameDecoder = lambda *_, **__: (print("compiling", flush=True), time.sleep(600))
decoder.warm_up_decoder()
"""
"""A process that compiles for ten minutes."""


def start(package: Path, script: str = DECODE, **env: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA")}
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=package,
        env=clean | {"PYTHONDONTWRITEBYTECODE": "1"} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, int]:
    """Return the result and the number of compiled functions."""
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    result, num_compiled = out.split()
    return result, int(num_compiled)


def copy_package(folder: Path) -> None:
    shutil.copytree(ROOT / "curation", folder / "curation", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "shards", folder / "shards", ignore=shutil.ignore_patterns("__pycache__"))


def test_one_of_two_processes_compiles(tmp_path: Path) -> None:
    cache = {"XDG_CACHE_HOME": str(tmp_path)}
    (first, num_first), (second, num_second) = [finish(process) for process in [start(ROOT, **cache) for _ in range(2)]]
    assert first == second
    assert min(num_first, num_second) == 0 < max(num_first, num_second)


def test_killed_compiler_leaves_no_lock(tmp_path: Path) -> None:
    cache = {"XDG_CACHE_HOME": str(tmp_path)}
    compiler = start(ROOT, HANG, **cache)
    assert compiler.stdout
    assert compiler.stdout.readline() == "compiling\n"
    waiting = start(ROOT, **cache)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(2)
    compiler.kill()
    compiler.communicate()
    _, num_compiled = finish(waiting)
    assert num_compiled > 0


def test_change_of_another_file_recompiles(tmp_path: Path) -> None:
    copy_package(tmp_path)
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    result, num_compiled = finish(start(tmp_path, **cache))
    assert num_compiled > 0
    assert finish(start(tmp_path, **cache)) == (result, 0)
    with (tmp_path / "curation/flow/lucas_kanade/templates.py").open("a") as file:
        file.write("# Another comment.\n")
    assert finish(start(tmp_path, **cache)) == (result, num_compiled)


def test_cache_that_others_can_write_to_is_not_loaded(tmp_path: Path) -> None:
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    filled = finish(start(ROOT, **cache))
    (tmp_path / "cache").chmod(0o777)
    process = start(ROOT, **cache)
    out, errors = process.communicate(timeout=300)
    assert out.split() == [filled[0], str(filled[1])]
    assert f"other users can write to {tmp_path / 'cache'}; run chmod go-w" in errors


def test_missing_cache_folder_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    process = start(ROOT, "import curation.flow.lucas_kanade.tracking", XDG_CACHE_HOME=str(tmp_path / "cache"))
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert errors.count("UserWarning: compiled code is not cached") == 1


def test_first_run_says_that_it_compiles(listing: Path, tmp_path: Path) -> None:
    rows = listing.read_text(encoding="utf-8").splitlines()[:2]
    (listing.parent / "two.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA")}
    env["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    outputs = []
    for number in range(2):
        command = [PIX2GIF, "curate", str(listing.parent / "two.tsv"), "--out", str(tmp_path / f"out-{number}")]
        command += ["--workers", "0", "--near-distance", "0"]
        outputs.append(subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=True))
    first, second = outputs
    assert [line for line in first.stderr.splitlines() if line.startswith("compil")] == [
        "compiling the motion kernel, once on this machine"
    ]
    assert ", compile " in first.stdout
    assert "compil" not in second.stderr + second.stdout


def test_driver_does_not_import_numba() -> None:
    code = "import sys, curation.pipeline; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
