"""Checkpoints: a run's state -> RUN/checkpoints/step-00001000, written atomically and verified before it is read.

A checkpoint is a folder of `NAME.safetensors` (weights, EMA), `NAME.pt` (state dicts) and `checkpoint.json` with the
size and SHA-256 of each. It is written under a temporary name, synced, and renamed. A killed run, a full disk or a
power cut leaves the earlier checkpoints as they were.
"""

import dataclasses
import math
import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from shards.storage.atomic import REPLACED_SUFFIX, remove_folder, write_folder_atomically
from training.checkpoint.files import (
    DamagedCheckpointError,
    check_loadable,
    read_description,
    verify_files,
    write_files,
)
from training.errors import TrainingError
from training.runtime.versions import software_versions

_NAME = re.compile(rf"step-\d+({re.escape(REPLACED_SUFFIX)})?")
_PACKAGES = ("accelerate", "diffusers", "numpy", "pix2gif", "safetensors", "torch", "transformers")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingState:
    """Progress of a run."""

    step: int
    """Optimizer steps done."""
    position: int
    """Samples consumed since the run began, over all processes and epochs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Content of a checkpoint, on the CPU."""

    path: Path
    """The folder that it was read from."""
    state: TrainingState
    parts: dict[str, dict[str, Any]]
    """State dicts by name: optimizer, ema, scaler, random."""
    tensors: dict[str, dict[str, torch.Tensor]]
    """Flat tensors by name: model, ema."""
    config: dict[str, Any]
    """The run's resolved config."""
    software: dict[str, str]
    """Versions by package, at the time of writing."""


def save_checkpoint(
    folder: Path,
    state: TrainingState,
    parts: Mapping[str, Mapping[str, Any]],
    tensors: Mapping[str, Mapping[str, torch.Tensor]],
    config: Mapping[str, Any],
    keep: int,
) -> Path:
    """Write a checkpoint into `folder`, keep the `keep` latest written ones, and return its path.

    Call it on one process of the run. Tensors may be on any device and in any memory format. Raises OSError if the
    disk is full or refuses, TypeError if a part holds what `load_checkpoint` could not read back. The earlier
    checkpoints stay in both cases.
    """
    for name, part in parts.items():
        check_loadable(dict(part), name)
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".step-*.tmp"):  # Of killed runs.
        shutil.rmtree(leftover, ignore_errors=True)
    description = {
        **dataclasses.asdict(state),
        "order": 1 + int(max(_read_orders(folder, damaged=0).values(), default=0)),
        "config": dict(config),
        "software": software_versions(*_PACKAGES),
    }
    path = folder / f"step-{state.step:08d}"
    with write_folder_atomically(path) as temporary:
        write_files(temporary, parts, tensors, description)
    for replaced in folder.glob(f"step-*{REPLACED_SUFFIX}"):
        remove_folder(replaced)
    for old in list(_read_orders(folder, damaged=0))[:-keep]:
        remove_folder(old)
    return path


def find_latest(folder: Path) -> tuple[Path | None, list[DamagedCheckpointError]]:
    """Return the latest undamaged checkpoint, or None, and the damaged ones that may be later.

    The order is that of writing, not of steps: a run that went back to step 1,000 and reached step 1,500 resumes
    from there, even if there is a checkpoint of step 2,000. Reads every byte of the checkpoint that it returns.
    """
    damaged: list[DamagedCheckpointError] = []
    for path in reversed(_read_orders(folder, damaged=math.inf)):
        try:
            verify_files(path)
        except DamagedCheckpointError as error:
            damaged.append(error)
        else:
            return path, damaged
    return None, damaged


def resolve_resume(folder: Path, resume: str | Path) -> tuple[Path | None, list[DamagedCheckpointError]]:
    """Return the checkpoint to resume from, or None to start at step 0, and the damaged ones that were skipped.

    `resume` is "latest" (of `folder`, which may hold none), "none", or the path of a checkpoint. A run that starts
    again in a folder of checkpoints replaces them, the earliest written first. Reads every byte of the checkpoint, so
    call it on one process. Raises TrainingError if the path is not a complete checkpoint, or none of `folder` is.
    """
    if resume == "none":
        return None, []
    if resume == "latest":
        path, damaged = find_latest(folder)
        if path is None and damaged:
            raise TrainingError(f"{'; '.join(map(str, damaged))}; move {folder} away to start again")
        return path, damaged
    verify_files(Path(resume))
    return Path(resume), []


def load_checkpoint(path: Path, *, only: Collection[str] | None = None) -> Checkpoint:
    """Read a checkpoint to the CPU; `only` limits it to the parts and tensors of these names.

    Checks sizes but not hashes: `find_latest` and `resolve_resume` have checked them on one process for all. Raises
    TrainingError if `path` is not a complete checkpoint or lacks a name of `only`.
    """
    description = verify_files(path, check_hashes=False)
    files = [path / name for name in description["files"] if only is None or Path(name).stem in only]
    if missing := set(only or ()) - {file.stem for file in files}:
        raise TrainingError(f"{path} has no {' and no '.join(sorted(missing))}")
    parts: dict[str, dict[str, Any]] = {}
    tensors: dict[str, dict[str, torch.Tensor]] = {}
    for file in files:
        try:
            if file.suffix == ".pt":
                parts[file.stem] = torch.load(file, map_location="cpu", weights_only=True)
            else:
                tensors[file.stem] = safetensors.torch.load_file(file)
        except Exception as error:
            raise TrainingError(f"cannot read {file} ({error}); resume from another checkpoint") from error
    return Checkpoint(
        path=path,
        state=TrainingState(step=description["step"], position=description["position"]),
        parts=parts,
        tensors=tensors,
        config=description["config"],
        software=description["software"],
    )


def _read_orders(folder: Path, *, damaged: float) -> dict[Path, float]:
    """Return the number of each checkpoint in the order of writing, from 1, sorted; `damaged` for unreadable ones."""
    orders: dict[Path, float] = {}
    for path in folder.glob("step-*"):
        if _NAME.fullmatch(path.name):
            try:
                orders[path] = read_description(path)["order"]
            except DamagedCheckpointError:
                orders[path] = damaged
    return dict(sorted(orders.items(), key=lambda item: (item[1], item[0].name)))
