"""Killed processes and full disks: the same command, run again, writes the bytes of an undisturbed run.

`python -m pytest -m slow tests/curation/run/test_kills.py`; see docs/faults.md.
"""

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.curation.helpers import (
    ANY,
    RAYLET,
    SANDBOX,
    WORKER,
    assert_same_dataset,
    call_every,
    curate_command,
    find_processes,
    run_and_compare,
    wait_until,
)

NUM_KILLS = 20
RAY_EXIT_TIMEOUT_S = 180
"""Two of Ray's agents poll whether their parent is alive."""


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A variable in the environment of all processes of a test."""
    name = f"PIX2GIF_TEST_{tmp_path.name}"
    monkeypatch.setenv(name, "1")
    return name


@pytest.mark.slow
def test_killed_driver_loses_only_unfinished_tasks(long_listing, undisturbed, tmp_path, marker):
    out, draw = tmp_path / "out", random.Random(7)  # noqa: S311 # Not for secrets.
    start = time.monotonic()
    subprocess.run(curate_command(long_listing, tmp_path / "timed"), check=True, timeout=900)
    whole_s = time.monotonic() - start
    parts: set[str] = set()
    for _ in range(NUM_KILLS):
        process = subprocess.Popen(
            curate_command(long_listing, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(draw.uniform(0, whole_s))
        process.kill()
        process.wait()
        time.sleep(1)  # Ray's processes need time to exit.
        finished = {path.name for path in out.glob("flow/part-*")}
        assert parts <= finished, "a finished part was lost"
        parts = finished
    run_and_compare(long_listing, out, undisturbed)
    assert wait_until(lambda: not find_processes(marker, ANY), RAY_EXIT_TIMEOUT_S), "processes were left behind"


@pytest.mark.slow
@pytest.mark.parametrize("line", [WORKER, SANDBOX], ids=["worker", "sandbox"])
def test_killed_workers_and_sandboxes_cost_only_time(long_listing, undisturbed, tmp_path, marker, line):
    draw, killed = random.Random(3), []  # noqa: S311 # Not for secrets.

    def kill_one() -> None:
        if pids := find_processes(marker, line):
            killed.append(draw.choice(pids))
            with contextlib.suppress(ProcessLookupError):
                os.kill(killed[-1], signal.SIGKILL)

    with call_every(3.0, kill_one):
        run_and_compare(long_listing, tmp_path / "out", undisturbed)
    assert killed


@pytest.mark.slow
def test_run_that_is_paused_for_longer_than_the_clip_timeout_loses_no_clip(long_listing, undisturbed, tmp_path):
    command = [*curate_command(long_listing, tmp_path / "out", workers=0), "--clip-timeout", "1"]
    num_pauses = 0
    with subprocess.Popen(command, start_new_session=True) as process:
        while process.poll() is None and num_pauses < 15:
            os.killpg(process.pid, signal.SIGSTOP)
            time.sleep(1.5)
            os.killpg(process.pid, signal.SIGCONT)
            num_pauses += 1
            time.sleep(1)
    assert (process.returncode, num_pauses > 3) == (0, True)
    assert_same_dataset(tmp_path / "out", undisturbed)


@pytest.mark.slow
def test_killed_raylet_is_reported_and_the_run_resumes(long_listing, undisturbed, tmp_path, marker):
    out = tmp_path / "out"
    with subprocess.Popen(curate_command(long_listing, out), stderr=subprocess.PIPE, text=True) as process:
        assert wait_until(lambda: list(out.glob("flow/part-*")), 120)
        (raylet,) = find_processes(marker, RAYLET)
        os.kill(raylet, signal.SIGKILL)
        _, stderr = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "Error: Ray's main process on this machine was killed during " in stderr
    assert "Traceback" not in stderr
    run_and_compare(long_listing, out, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("size_kb", [100, 2_000, 10_000])
def test_full_disk_is_reported_and_the_run_resumes(long_listing, undisturbed, tmp_path, size_kb):
    """The sizes run out in measuring, export and packing: the flow table takes 200 KB, shard and fragments 25 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        ended = subprocess.run(
            curate_command(long_listing, disk / "out"), capture_output=True, text=True, timeout=900, check=False
        )
        assert ended.returncode == 1, ended.stderr
        assert "no space left on device" in ended.stderr
        assert "run the same command again" in ended.stderr
        assert "Traceback" not in ended.stderr
        subprocess.run(["/bin/mount", "-o", "remount,size=200m", str(disk)], check=True)
        run_and_compare(long_listing, disk / "out", undisturbed)
    finally:
        subprocess.run(["/bin/umount", "-l", str(disk)], check=True)
