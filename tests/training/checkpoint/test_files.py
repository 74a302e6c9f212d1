import errno
import os
import random
import resource
import shutil
import signal
import sys
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.checkpoint.helpers import check_content, list_names, save_step
from training.checkpoint.checkpoint import find_latest, load_checkpoint, resolve_resume

# ---- Killed

NUM_VALUES = 500_000
"""A checkpoint has three times as many float32: 6 MB."""


def save_until_killed(folder: Path, started: Any) -> None:
    """Resume from the latest checkpoint and save one checkpoint a step, forever."""
    torch.set_num_threads(1)
    latest, _ = find_latest(folder)
    step = 0 if latest is None else load_checkpoint(latest).state.step
    started.set()
    while True:
        step += 1
        save_step(folder, step, num_values=NUM_VALUES)


def test_a_run_killed_while_saving_can_always_resume(tmp_path: Path, forks: ForkServerContext) -> None:
    rng = random.Random(0)  # noqa: S311
    last, num_interrupted = 0, 0
    save_step(tmp_path, 0, num_values=NUM_VALUES)
    for _ in range(20):
        started = forks.Event()
        child = forks.Process(target=save_until_killed, args=(tmp_path, started))
        child.start()
        assert started.wait(60)
        time.sleep(rng.uniform(0.0, 0.3))
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        num_interrupted += any(name.startswith(".") for name in list_names(tmp_path))
        latest, damaged = resolve_resume(tmp_path, "latest")
        assert latest is not None
        assert damaged == []
        step = check_content(latest, NUM_VALUES)
        assert step >= last
        last = step
    print(f"killed 20 times, {num_interrupted} times while saving; reached step {last}")
    assert num_interrupted >= 5  # Otherwise the kills missed the writes and the test proves nothing.
    assert last > 0


def save_and_die_before(folder: Path, step: int, num_operations: int) -> None:
    """Save, but get killed after `num_operations` opens, creations, renames and removals."""
    torch.set_num_threads(1)
    left = num_operations

    def count(event: str, args: tuple[object, ...]) -> None:
        nonlocal left
        if event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir") or (
            event == "open" and str(args[0]).startswith(str(folder))
        ):
            left -= 1
            if left == -1:  # Later events include the kill itself.
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    save_step(folder, step)


@pytest.mark.parametrize("step", [4, 3], ids=["new step", "existing step"])
def test_a_run_killed_before_any_file_operation_can_resume(tmp_path: Path, forks: ForkServerContext, step: int) -> None:
    for earlier in (1, 2, 3):
        save_step(tmp_path / "before", earlier)
    steps = []
    for num_operations in range(100):
        folder = tmp_path / str(num_operations)
        shutil.copytree(tmp_path / "before", folder)
        child = forks.Process(target=save_and_die_before, args=(folder, step, num_operations))
        child.start()
        child.join()
        latest, damaged = resolve_resume(folder, "latest")
        assert latest is not None
        assert damaged == []
        steps.append(check_content(latest))
        save_step(folder, 9)  # The next save removes the leftovers.
        assert all(name.startswith("step-") and name.isascii() and name[5:].isdigit() for name in list_names(folder))
        shutil.rmtree(folder)
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
    assert child.exitcode == 0
    print(f"killed at each of {num_operations} operations")
    assert num_operations > 20
    assert steps == sorted(steps)
    assert {steps[0], steps[-1]} == {3, step}


# ---- A full disk


def save_with_size_limit(folder: Path, num_bytes: int, results: Any) -> None:
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))
    try:
        save_step(folder, 3)
        results.send(None)
    except OSError as error:
        results.send((error.errno, error.filename))


@pytest.mark.parametrize("num_bytes", [0, 500, 3_000, 4_050])
def test_a_full_disk_is_reported_and_earlier_checkpoints_stay(
    tmp_path: Path, forks: ForkServerContext, num_bytes: int
) -> None:
    for step in (1, 2):
        save_step(tmp_path, step)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "step-00000002").iterdir()}
    reader, writer = forks.Pipe(duplex=False)
    child = forks.Process(target=save_with_size_limit, args=(tmp_path, num_bytes, writer))
    child.start()
    assert reader.poll(60)
    number, file = reader.recv()
    child.join()
    assert number == errno.EFBIG
    assert sizes[Path(file).name] > num_bytes
    assert list_names(tmp_path) == ["step-00000001", "step-00000002"]
    latest, damaged = find_latest(tmp_path)
    assert damaged == []
    assert latest is not None
    assert check_content(latest) == 2
