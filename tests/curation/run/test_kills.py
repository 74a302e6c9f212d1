"""Whatever is killed and wherever the disk ends, the same command ends with the bytes of an undisturbed run.

`python -m pytest -m slow tests/curation/run/test_kills.py`; docs/faults.md tells of it.
"""

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.curation.helpers import ANY, RAYLET, SANDBOX, WORKER, every, find_processes, finish, wait_until, words

NUM_KILLS = 20
RAY_NOTICES_WITHIN_S = 180
"""Two agents of Ray's ask now and then whether their parent still lives."""


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A name that all processes of a test carry in their environment."""
    name = f"PIX2GIF_TEST_{tmp_path.name}"
    monkeypatch.setenv(name, "1")
    return name


@pytest.mark.slow
def test_a_driver_that_is_killed_at_random_moments_loses_only_what_was_in_flight(many, undisturbed, tmp_path, marker):
    out, draw = tmp_path / "out", random.Random(7)  # noqa: S311 # Not for secrets.
    start = time.monotonic()
    subprocess.run(words(many, tmp_path / "timed"), check=True, timeout=900)
    whole_s = time.monotonic() - start
    parts: set[str] = set()
    for _ in range(NUM_KILLS):
        process = subprocess.Popen(words(many, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(draw.uniform(0, whole_s))
        process.kill()
        process.wait()
        time.sleep(1)  # For Ray's processes to notice.
        sound = {path.name for path in out.glob("flow/part-*")}
        assert parts <= sound, "what was measured is kept from run to run"
        parts = sound
    finish(many, out, undisturbed)
    assert wait_until(lambda: not find_processes(marker, ANY), RAY_NOTICES_WITHIN_S), "processes were left behind"


@pytest.mark.slow
@pytest.mark.parametrize("line", [WORKER, SANDBOX], ids=["worker", "its child"])
def test_workers_or_their_children_that_are_killed_every_few_seconds_cost_time_alone(
    many, undisturbed, tmp_path, marker, line
):
    draw, killed = random.Random(3), []  # noqa: S311 # Not for secrets.

    def kill_one() -> None:
        if found := find_processes(marker, line):
            killed.append(draw.choice(found))
            with contextlib.suppress(ProcessLookupError):
                os.kill(killed[-1], signal.SIGKILL)

    with every(3.0, kill_one):
        finish(many, tmp_path / "out", undisturbed)
    assert killed


@pytest.mark.slow
def test_rays_own_end_is_told_in_one_sentence_and_the_same_command_goes_on(many, undisturbed, tmp_path, marker):
    out = tmp_path / "out"
    with subprocess.Popen(words(many, out), stderr=subprocess.PIPE, text=True) as process:
        assert wait_until(lambda: list(out.glob("flow/part-*")), 120)
        (raylet,) = find_processes(marker, RAYLET)
        os.kill(raylet, signal.SIGKILL)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "Error: Ray's own process on this machine was killed during " in said
    assert "Traceback" not in said
    finish(many, out, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("size_kb", [100, 2_000, 10_000])
def test_a_full_disk_is_told_in_one_sentence_and_the_same_command_goes_on_when_there_is_room(
    many, undisturbed, tmp_path, size_kb
):
    """In measure, in export and in packing: the flow table takes 200 KB, a shard and its fragments 25 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        ended = subprocess.run(words(many, disk / "out"), capture_output=True, text=True, timeout=900, check=False)
        assert ended.returncode == 1, ended.stderr
        assert "no space left on device" in ended.stderr
        assert "run the same command again" in ended.stderr
        assert "Traceback" not in ended.stderr
        subprocess.run(["/bin/mount", "-o", "remount,size=200m", str(disk)], check=True)
        finish(many, disk / "out", undisturbed)
    finally:
        subprocess.run(["/bin/umount", "-l", str(disk)], check=True)
