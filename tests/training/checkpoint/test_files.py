"""A run that is killed or starved of disk while it writes keeps the checkpoints that it had."""

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

from tests.training.checkpoints import check, names, save
from training.checkpoint.checkpoint import find_latest, load_checkpoint, resolve_resume

# ---- Killed

MANY_VALUES = 500_000
"""Three times that many float32 in a checkpoint: 6 MB."""


def save_for_ever(folder: Path, begun: Any) -> None:
    """Go on from the latest checkpoint, a step a checkpoint; made to be killed."""
    torch.set_num_threads(1)
    latest, _ = find_latest(folder)
    step = 0 if latest is None else load_checkpoint(latest).state.step
    begun.set()
    while True:
        step += 1
        save(folder, step, num_values=MANY_VALUES)


def test_killed_twenty_times_while_writing_it_is_always_resumable(tmp_path: Path, forks: ForkServerContext) -> None:
    chance = random.Random(0)  # noqa: S311
    last, num_torn = 0, 0
    save(tmp_path, 0, num_values=MANY_VALUES)
    for _ in range(20):
        begun = forks.Event()
        child = forks.Process(target=save_for_ever, args=(tmp_path, begun))
        child.start()
        assert begun.wait(60)
        time.sleep(chance.uniform(0.0, 0.3))
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        num_torn += any(name.startswith(".") for name in names(tmp_path))
        latest, passed_over = resolve_resume(tmp_path, "latest")
        assert latest is not None
        assert passed_over == []
        step = check(latest, MANY_VALUES)
        assert step >= last
        last = step
    print(f"killed 20 times, {num_torn} of them while it wrote or removed; came to step {last}")
    assert num_torn >= 5  # Else this shows nothing.
    assert last > 0


def save_until_an_operation(folder: Path, step: int, num_operations: int) -> None:
    """Save, and be killed when so many files and folders were opened, made, renamed or removed."""
    torch.set_num_threads(1)
    left = num_operations

    def count(event: str, args: tuple[object, ...]) -> None:
        nonlocal left
        if event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir") or (
            event == "open" and str(args[0]).startswith(str(folder))
        ):
            left -= 1
            if left == -1:  # The kill is an operation as well.
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    save(folder, step)


@pytest.mark.parametrize("step", [4, 3], ids=["a new step", "a step that is there already"])
def test_killed_before_each_operation_on_files_it_is_resumable(
    tmp_path: Path, forks: ForkServerContext, step: int
) -> None:
    for earlier in (1, 2, 3):
        save(tmp_path / "before", earlier)
    came_to = []
    for num_operations in range(100):
        folder = tmp_path / str(num_operations)
        shutil.copytree(tmp_path / "before", folder)
        child = forks.Process(target=save_until_an_operation, args=(folder, step, num_operations))
        child.start()
        child.join()
        latest, passed_over = resolve_resume(folder, "latest")
        assert latest is not None
        assert passed_over == []
        came_to.append(check(latest))
        save(folder, 9)  # And the next one clears up.
        assert all(name.startswith("step-") and name.isascii() and name[5:].isdigit() for name in names(folder))
        shutil.rmtree(folder)
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
    assert child.exitcode == 0
    print(f"killed at each of {num_operations} operations")
    assert num_operations > 20
    assert came_to == sorted(came_to)
    assert {came_to[0], came_to[-1]} == {3, step}


# ---- A full disk


def save_with_a_limit(folder: Path, num_bytes: int, told: Any) -> None:
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))
    try:
        save(folder, 3)
        told.send(None)
    except OSError as error:
        told.send((error.errno, error.filename))


@pytest.mark.parametrize("num_bytes", [0, 500, 3_000, 4_050])
def test_a_full_disk_is_told_and_costs_nothing(tmp_path: Path, forks: ForkServerContext, num_bytes: int) -> None:
    for step in (1, 2):
        save(tmp_path, step)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "step-00000002").iterdir()}
    told, tells = forks.Pipe(duplex=False)
    child = forks.Process(target=save_with_a_limit, args=(tmp_path, num_bytes, tells))
    child.start()
    assert told.poll(60)
    number, file = told.recv()
    child.join()
    assert number == errno.EFBIG
    assert sizes[Path(file).name] > num_bytes
    assert names(tmp_path) == ["step-00000001", "step-00000002"]
    latest, passed_over = find_latest(tmp_path)
    assert passed_over == []
    assert latest is not None
    assert check(latest) == 2
