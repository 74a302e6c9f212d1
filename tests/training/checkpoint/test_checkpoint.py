import json
import random
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shards.manifest import digest
from tests.training.checkpoint.helpers import CONFIG, check_content, flip_bit, list_names, save_step, truncate
from training.checkpoint.checkpoint import (
    TrainingState,
    find_latest,
    load_checkpoint,
    resolve_resume,
    save_checkpoint,
)
from training.checkpoint.files import DESCRIPTION_FILE
from training.errors import TrainingError
from training.runtime.rng_state import get_rng_state, set_rng_state

# ---- Round trip


def make_training(seed: int) -> tuple[torch.nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Dropout(0.5))
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)
    return model, optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 5))


def train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, schedule: Any, num_steps: int) -> None:
    for _ in range(num_steps):
        scale = random.random() + float(np.random.random())  # noqa: S311
        (model(torch.randn(2, 3, 8, 8)) * scale).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()


def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(tmp_path: Path) -> None:
    model, optimizer, schedule = make_training(0)
    train(model, optimizer, schedule, 3)
    path = save_checkpoint(
        tmp_path / "run" / "checkpoints",
        TrainingState(step=3, position=24),
        parts={
            "optimizer": optimizer.state_dict(),
            "lr_scheduler": schedule.state_dict(),
            "scaler": torch.amp.GradScaler("cpu").state_dict(),
            "random": get_rng_state(),
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
    set_rng_state(checkpoint.parts["random"])
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
def test_tensors_of_every_dtype_shape_and_memory_format_are_read_back(tmp_path: Path, dtype: torch.dtype) -> None:
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


def test_plain_values_are_read_back(tmp_path: Path) -> None:
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
def test_values_that_could_not_be_read_back_are_refused_on_writing(tmp_path: Path, value: object) -> None:
    save_step(tmp_path, 1)
    with pytest.raises(TypeError, match=r"optimizer\['state'\]\[0\]\['momentum'\] is of <class"):
        save_checkpoint(
            tmp_path,
            TrainingState(step=2, position=2),
            {"optimizer": {"state": [{"momentum": value}]}},
            {},
            CONFIG,
            1,
        )
    assert list_names(tmp_path) == ["step-00000001"]


def test_loading_can_be_limited_to_some_names(tmp_path: Path) -> None:
    tensors = {"ema": {"0": torch.ones(2)}, "model": {"0": torch.zeros(2)}}
    path = save_checkpoint(tmp_path, TrainingState(step=1, position=1), {"ema": {"decay": 0.5}}, tensors, {}, 1)
    complete, limited = load_checkpoint(path), load_checkpoint(path, only=("ema",))
    assert (set(complete.tensors), set(limited.tensors)) == ({"ema", "model"}, {"ema"})
    assert complete.parts == limited.parts == {"ema": {"decay": 0.5}}
    with pytest.raises(TrainingError, match="has no scaler"):
        load_checkpoint(path, only=("ema", "scaler"))


# ---- Keeping the latest


def test_only_the_latest_checkpoints_are_kept(tmp_path: Path) -> None:
    for step in range(1, 6):
        assert save_step(tmp_path, step) == tmp_path / f"step-{step:08d}"
        assert find_latest(tmp_path) == (tmp_path / f"step-{step:08d}", [])
    assert list_names(tmp_path) == ["step-00000003", "step-00000004", "step-00000005"]
    assert list_names(tmp_path / "step-00000003") == [
        "checkpoint.json",
        "ema.safetensors",
        "model.safetensors",
        "optimizer.pt",
    ]


def test_a_step_written_again_replaces_the_earlier_one(tmp_path: Path) -> None:
    save_step(tmp_path, 1)
    save_step(tmp_path, 2, num_values=10)
    save_step(tmp_path, 2)
    assert list_names(tmp_path) == ["step-00000001", "step-00000002"]
    assert check_content(tmp_path / "step-00000002") == 2


def test_the_latest_is_the_last_written_not_the_highest_step(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        save_step(tmp_path, step)
    save_step(tmp_path, 15)  # Resumed from 10.
    assert list_names(tmp_path) == ["step-00000015", "step-00000020", "step-00000030"]
    assert find_latest(tmp_path) == (tmp_path / "step-00000015", [])


def test_leftovers_of_killed_runs_are_removed_and_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / ".step-00000007.tmp").mkdir()
    (tmp_path / ".step-00000003.removed.tmp").mkdir()
    (tmp_path / ".step-00000003.removed.tmp" / "model.safetensors").write_bytes(b"half")
    (tmp_path / "notes").mkdir()
    assert find_latest(tmp_path) == (None, [])
    save_step(tmp_path, 1)
    assert list_names(tmp_path) == ["notes", "step-00000001"]


# ---- Damage


@pytest.mark.parametrize("file", ["checkpoint.json", "ema.safetensors", "model.safetensors", "optimizer.pt"])
@pytest.mark.parametrize("damage", [flip_bit, truncate, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_damaged_checkpoint_is_skipped_and_reported(tmp_path: Path, file: str, damage: Any) -> None:
    for step in (1, 2, 3):
        save_step(tmp_path, step)
    damage(tmp_path / "step-00000003" / file)
    latest, damaged = find_latest(tmp_path)
    assert latest == tmp_path / "step-00000002"
    assert check_content(latest) == 2
    (error,) = damaged
    assert str(error).startswith(f"{tmp_path / 'step-00000003'} is not a complete checkpoint: ")
    assert file in str(error)


def test_a_changed_description_is_damage(tmp_path: Path) -> None:
    path = save_step(tmp_path, 1)
    about = json.loads((path / "checkpoint.json").read_text())
    (path / "checkpoint.json").write_text(json.dumps(about | {"position": 9}))
    latest, (error,) = find_latest(tmp_path)
    assert latest is None
    assert "checkpoint.json does not match its SHA-256" in str(error)


def test_an_empty_folder_named_like_a_checkpoint_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "step-00000009").mkdir()
    save_step(tmp_path, 1)
    latest, damaged = find_latest(tmp_path)
    assert latest == tmp_path / "step-00000001"
    (error,) = damaged
    assert "step-00000009 is not a complete checkpoint: checkpoint.json cannot be read" in str(error)


# ---- Resuming


def test_resume_takes_latest_none_or_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    assert resolve_resume(folder, "latest") == (None, [])
    first, second = save_step(folder, 1), save_step(folder, 2)
    assert resolve_resume(folder, "latest") == (second, [])
    assert resolve_resume(folder, "none") == (None, [])
    assert resolve_resume(folder, first) == resolve_resume(folder, str(first)) == (first, [])


def test_errors_name_the_path_and_the_reason(tmp_path: Path) -> None:
    path = save_step(tmp_path, 1)
    for other in (tmp_path / "absent", tmp_path, path / "model.safetensors"):
        for ask in (load_checkpoint, lambda other: resolve_resume(tmp_path, other)):
            with pytest.raises(TrainingError, match=r"checkpoint: checkpoint\.json cannot be read \(.*\)$"):
                ask(other)
    flip_bit(path / "model.safetensors")
    with pytest.raises(TrainingError, match=r"checkpoint: model\.safetensors does not match its SHA-256$"):
        resolve_resume(tmp_path, path)
    with pytest.raises(TrainingError, match=r"step-00000001 is not .* its SHA-256; move"):
        resolve_resume(tmp_path, "latest")
    truncate(path / "model.safetensors")
    with pytest.raises(TrainingError, match=r"model\.safetensors has .* bytes instead of"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "edit",
    [
        lambda fields: fields.pop("step"),
        lambda fields: fields.pop("position"),
        lambda fields: fields.pop("files"),
        lambda fields: fields.update(step="1"),
        lambda fields: fields.update(order=-1),
        lambda fields: fields.update(config=[]),
        lambda fields: fields.update(software={"torch": 2}),
        lambda fields: fields.update(format="1"),
        lambda fields: fields["files"].update({"../model.safetensors": fields["files"]["model.safetensors"]}),
        lambda fields: fields["files"].update({"/etc/passwd": fields["files"]["model.safetensors"]}),
        lambda fields: fields["files"]["model.safetensors"].update(num_bytes=None),
        lambda fields: fields["files"]["model.safetensors"].update(sha256="00"),
        lambda fields: fields["files"].update({"model.safetensors": []}),
    ],
)
def test_malformed_description_is_refused_in_one_sentence(tmp_path: Path, edit: Callable[[Any], object]) -> None:
    path = save_step(tmp_path, 1)
    fields = json.loads((path / DESCRIPTION_FILE).read_text())
    del fields["sha256"]
    edit(fields)
    (path / DESCRIPTION_FILE).write_text(json.dumps(fields | {"sha256": digest(fields)}))
    for resume in (path, "latest"):
        with pytest.raises(TrainingError, match=r"step-00000001 is not a complete checkpoint") as raised:
            resolve_resume(tmp_path, resume)
        assert str(raised.value).isprintable()


@pytest.mark.parametrize("data", [b"[" * 100_000, b"null", b'{"step": NaN}', b"\xff", b""])
def test_description_that_is_no_json_is_refused(tmp_path: Path, data: bytes) -> None:
    path = save_step(tmp_path, 1)
    (path / DESCRIPTION_FILE).write_bytes(data)
    with pytest.raises(TrainingError, match=r"step-00000001 is not a complete checkpoint"):
        load_checkpoint(path)
