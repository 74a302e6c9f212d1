"""A run that is killed, starved of disk or bit-flipped goes on from a whole checkpoint, bit by bit what it was."""

import errno
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from training.checkpoint import (
    Checkpoint,
    PassedOver,
    TrainingState,
    find_latest,
    generator_states,
    load_checkpoint,
    resolve_resume,
    restore_generator_states,
    save_checkpoint,
)
from training.errors import TrainingError

KEEP = 3
CONFIG = {"learning_rate": 1e-4, "perceptual_weights": None, "motions": (2.0, 4.0), "model": {"variant": "full"}}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Makes real child processes in milliseconds: forks of one that has imported torch and nothing of this run."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training.checkpoint"])
    return context


def save(folder: Path, step: int, *, keep: int = KEEP, num_values: int = 1_000) -> Path:
    """Write the checkpoint that `check` knows by its step."""
    weights = torch.randn(num_values, generator=torch.Generator().manual_seed(step))
    return save_checkpoint(
        folder,
        TrainingState(step=step, position=8 * step),
        parts={"optimizer": {"state": {0: {"step": torch.tensor(float(step)), "exp_avg": weights / 2}}}},
        tensors={"model": {"weight": weights}, "ema": {"weight": weights / 3}},
        config=CONFIG,
        keep=keep,
    )


def check(path: Path, num_values: int = 1_000) -> int:
    """Assert that a checkpoint is what `save` wrote, bit by bit; returns its step."""
    checkpoint = load_checkpoint(path)
    step = checkpoint.state.step
    assert path.name.removesuffix(".replaced") == f"step-{step:08d}"
    assert checkpoint.state.position == 8 * step
    weights = torch.randn(num_values, generator=torch.Generator().manual_seed(step))
    assert torch.equal(checkpoint.tensors["model"]["weight"], weights)
    assert torch.equal(checkpoint.tensors["ema"]["weight"], weights / 3)
    assert torch.equal(checkpoint.parts["optimizer"]["state"][0]["exp_avg"], weights / 2)
    return step


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- Round trip


def make_training(seed: int) -> tuple[torch.nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Dropout(0.5))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)
    return model, optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 5))


def train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, schedule: Any, num_steps: int) -> None:
    for _ in range(num_steps):
        scale = random.random() + float(np.random.random())  # noqa: S311
        (model(torch.randn(2, 3, 8, 8)) * scale).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()


def test_stopping_and_resuming_equals_not_stopping_bit_by_bit(tmp_path: Path) -> None:
    model, optimizer, schedule = make_training(0)
    train(model, optimizer, schedule, 3)
    path = save_checkpoint(
        tmp_path / "run" / "checkpoints",
        TrainingState(step=3, position=24),
        parts={
            "optimizer": optimizer.state_dict(),
            "lr_scheduler": schedule.state_dict(),
            "scaler": torch.amp.GradScaler("cpu").state_dict(),
            "random": generator_states(),
        },
        tensors={"model": model.state_dict()},
        config=CONFIG,
        keep=1,
    )
    train(model, optimizer, schedule, 3)

    resumed, its_optimizer, its_schedule = make_training(1)
    checkpoint = load_checkpoint(path)
    resumed.load_state_dict(checkpoint.tensors["model"])
    its_optimizer.load_state_dict(checkpoint.parts["optimizer"])
    its_schedule.load_state_dict(checkpoint.parts["lr_scheduler"])
    torch.amp.GradScaler("cpu").load_state_dict(checkpoint.parts["scaler"])
    restore_generator_states(checkpoint.parts["random"])
    train(resumed, its_optimizer, its_schedule, 3)

    assert checkpoint.state == TrainingState(step=3, position=24)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    for before, after in zip(
        optimizer.state_dict()["state"].values(), its_optimizer.state_dict()["state"].values(), strict=True
    ):
        assert all(torch.equal(before[name], after[name]) for name in before)
    assert schedule.state_dict() == its_schedule.state_dict()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool, torch.uint8])
def test_every_dtype_shape_and_memory_format_comes_back(tmp_path: Path, dtype: torch.dtype) -> None:
    whole = torch.randint(0, 2, (4, 6, 5, 3)).to(dtype)
    tensors = {
        "plain": whole,
        "channels last": whole.contiguous(memory_format=torch.channels_last),
        "slice": whole[:, ::2],
        "scalar": whole[0, 0, 0, 0],
        "empty": whole[:0],
        "parameter": torch.nn.Parameter(whole, requires_grad=dtype.is_floating_point),
    }
    path = save_checkpoint(tmp_path, TrainingState(step=0, position=0), {"part": tensors}, {"model": tensors}, {}, 1)
    checkpoint = load_checkpoint(path)
    for read in (checkpoint.tensors["model"], checkpoint.parts["part"]):
        for name, tensor in tensors.items():
            assert read[name].dtype == dtype
            assert torch.equal(read[name], tensor), name


def test_every_plain_value_comes_back(tmp_path: Path) -> None:
    part = {
        "values": [True, 2, 3.5, float("inf"), 1 + 2j, "four", b"five", None, (6, [7, {8: "nine"}])],
        "torch": (torch.Size([2, 3]), torch.bfloat16, torch.device("cpu")),
        "ordered": OrderedDict(a=1),
    }
    path = save_checkpoint(tmp_path, TrainingState(step=0, position=0), {"part": part, "none": {}}, {}, CONFIG, 1)
    checkpoint = load_checkpoint(path)
    assert checkpoint.parts == {"part": part, "none": {}}
    assert checkpoint.config == {**CONFIG, "motions": [2.0, 4.0]}
    assert checkpoint.software["torch"] == torch.__version__
    assert {"python", "diffusers", "accelerate", "safetensors"} <= set(checkpoint.software)


@pytest.mark.parametrize("value", [np.float64(1), np.zeros(2), {1, 2}, Path("a"), object()], ids=lambda v: str(type(v)))
def test_what_could_not_be_read_back_is_refused_when_it_is_written(tmp_path: Path, value: object) -> None:
    save(tmp_path, 1)
    with pytest.raises(TypeError, match=r"optimizer\['state'\]\[0\]\['momentum'\] is of <class"):
        save_checkpoint(
            tmp_path,
            TrainingState(step=2, position=2),
            {"optimizer": {"state": [{"momentum": value}]}},
            {},
            CONFIG,
            1,
        )
    assert names(tmp_path) == ["step-00000001"]


def test_one_name_may_have_a_part_and_tensors_and_a_few_can_be_read_alone(tmp_path: Path) -> None:
    tensors = {"ema": {"0": torch.ones(2)}, "model": {"0": torch.zeros(2)}}
    path = save_checkpoint(tmp_path, TrainingState(step=1, position=1), {"ema": {"decay": 0.5}}, tensors, {}, 1)
    whole, some = load_checkpoint(path), load_checkpoint(path, only=("ema",))
    assert (set(whole.tensors), set(some.tensors)) == ({"ema", "model"}, {"ema"})
    assert whole.parts == some.parts == {"ema": {"decay": 0.5}}
    with pytest.raises(TrainingError, match="holds no scaler"):
        load_checkpoint(path, only=("ema", "scaler"))


# ---- Keeping


def test_the_latest_are_kept_and_nothing_else_is_there(tmp_path: Path) -> None:
    for step in range(1, 6):
        assert save(tmp_path, step) == tmp_path / f"step-{step:08d}"
        assert find_latest(tmp_path) == (tmp_path / f"step-{step:08d}", [])
    assert names(tmp_path) == ["step-00000003", "step-00000004", "step-00000005"]
    assert names(tmp_path / "step-00000003") == [
        "checkpoint.json",
        "ema.safetensors",
        "model.safetensors",
        "optimizer.pt",
    ]


def test_a_step_that_is_written_again_replaces_itself(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2, num_values=10)
    save(tmp_path, 2)
    assert names(tmp_path) == ["step-00000001", "step-00000002"]
    assert check(tmp_path / "step-00000002") == 2


def test_a_run_that_went_back_goes_on_from_where_it_came_to_and_not_from_what_it_left(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        save(tmp_path, step)
    save(tmp_path, 15)  # Resumed from 10.
    assert names(tmp_path) == ["step-00000015", "step-00000020", "step-00000030"]
    assert find_latest(tmp_path) == (tmp_path / "step-00000015", [])


def test_leftovers_of_killed_runs_go_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    (tmp_path / ".step-00000007.tmp").mkdir()
    (tmp_path / ".step-00000003.removed.tmp").mkdir()
    (tmp_path / ".step-00000003.removed.tmp" / "model.safetensors").write_bytes(b"half")
    (tmp_path / "notes").mkdir()
    assert find_latest(tmp_path) == (None, [])
    save(tmp_path, 1)
    assert names(tmp_path) == ["notes", "step-00000001"]


# ---- Damage


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def tear(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("file", ["checkpoint.json", "ema.safetensors", "model.safetensors", "optimizer.pt"])
@pytest.mark.parametrize("damage", [flip_a_bit, tear, Path.unlink, lambda path: path.write_bytes(b"")])
def test_what_is_damaged_is_passed_over_for_the_one_before_and_said(tmp_path: Path, file: str, damage: Any) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step)
    damage(tmp_path / "step-00000003" / file)
    latest, passed_over = find_latest(tmp_path)
    assert latest == tmp_path / "step-00000002"
    assert check(latest) == 2
    assert [(path, file in reason) for path, reason in passed_over] == [(tmp_path / "step-00000003", True)]


def test_any_bit_of_the_description_counts(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    about = json.loads((path / "checkpoint.json").read_text())
    (path / "checkpoint.json").write_text(json.dumps(about | {"position": 9}))
    assert find_latest(tmp_path) == (None, [PassedOver(path, "checkpoint.json is not as it was written")])


def test_an_empty_folder_with_a_checkpoints_name_is_none(tmp_path: Path) -> None:
    (tmp_path / "step-00000009").mkdir()
    save(tmp_path, 1)
    latest, passed_over = find_latest(tmp_path)
    assert latest == tmp_path / "step-00000001"
    assert passed_over == [PassedOver(tmp_path / "step-00000009", "it has no checkpoint.json")]


# ---- Resuming


def test_where_to_go_on_from(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    assert resolve_resume(folder, "latest") == (None, [])
    first, second = save(folder, 1), save(folder, 2)
    assert resolve_resume(folder, "latest") == (second, [])
    assert resolve_resume(folder, "none") == (None, [])
    assert resolve_resume(folder, first) == resolve_resume(folder, str(first)) == (first, [])


def test_refusals_are_one_sentence(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    for other in (tmp_path / "absent", tmp_path, path / "model.safetensors"):
        for ask in (load_checkpoint, lambda other: resolve_resume(tmp_path, other)):
            with pytest.raises(TrainingError, match=r"is no checkpoint.*it has no checkpoint\.json$"):
                ask(other)
    flip_a_bit(path / "model.safetensors")
    with pytest.raises(TrainingError, match=r"to go on from: model\.safetensors is not as it was written$"):
        resolve_resume(tmp_path, path)
    with pytest.raises(TrainingError, match=r"is whole \(step-00000001: model\.safetensors is not as it was written\)"):
        resolve_resume(tmp_path, "latest")
    tear(path / "model.safetensors")
    with pytest.raises(TrainingError, match=r"model\.safetensors has .* bytes and not"):
        load_checkpoint(path)


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


def test_killed_twenty_times_while_writing_it_is_always_resumable(tmp_path: Path, processes: ForkServerContext) -> None:
    chance = random.Random(0)  # noqa: S311
    last, num_torn = 0, 0
    save(tmp_path, 0, num_values=MANY_VALUES)
    for _ in range(20):
        begun = processes.Event()
        child = processes.Process(target=save_for_ever, args=(tmp_path, begun))
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
    tmp_path: Path, processes: ForkServerContext, step: int
) -> None:
    for earlier in (1, 2, 3):
        save(tmp_path / "before", earlier)
    came_to = []
    for num_operations in range(100):
        folder = tmp_path / str(num_operations)
        shutil.copytree(tmp_path / "before", folder)
        child = processes.Process(target=save_until_an_operation, args=(folder, step, num_operations))
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
def test_a_full_disk_is_told_and_costs_nothing(tmp_path: Path, processes: ForkServerContext, num_bytes: int) -> None:
    for step in (1, 2):
        save(tmp_path, step)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "step-00000002").iterdir()}
    told, tells = processes.Pipe(duplex=False)
    child = processes.Process(target=save_with_a_limit, args=(tmp_path, num_bytes, tells))
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


def test_a_checkpoint_is_frozen(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(save(tmp_path, 1))
    assert isinstance(checkpoint, Checkpoint)
    with pytest.raises(AttributeError):
        checkpoint.state = TrainingState(step=2, position=2)  # type: ignore[misc]
