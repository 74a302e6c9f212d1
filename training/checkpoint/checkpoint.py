"""A run's state on disk: written whole or not at all, proved before it is read, kept by count.

In: what the trainer hands over. Out: RUN/checkpoints/step-00001000, a folder of `NAME.safetensors` (weights, EMA),
`NAME.pt` (state dicts) and `checkpoint.json`, which is written last and holds the size and the SHA-256 of the others,
and of itself. A checkpoint is written under a temporary name, reaches the disk, and only then takes its own name; so a
killed run, a full disk or a power cut leaves the checkpoints that were there before.
"""

import dataclasses
import json
import math
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch

from training.checkpoint.files import check_plain, remove, remove_leftovers, sync, write_description, write_files
from training.checkpoint.proof import (
    CHECKPOINT_FILE,
    FORMAT,
    REPLACED,
    describe,
    find_damage,
    list_checkpoints,
    order_of,
)
from training.errors import TrainingError
from training.runtime.versions import software_versions


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingState:
    """How far a run has come."""

    step: int
    """Optimizer steps done."""
    position: int
    """Samples consumed since the run began, over all processes and epochs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a checkpoint holds, on the CPU."""

    state: TrainingState
    parts: dict[str, dict[str, Any]]
    """State dicts by name: optimizer, lr_scheduler, scaler, random."""
    tensors: dict[str, dict[str, torch.Tensor]]
    """Flat tensors by name: model, ema."""
    config: dict[str, Any]
    """The run's resolved config."""
    software: dict[str, str]
    """What wrote it: versions by package."""


class PassedOver(NamedTuple):
    """A checkpoint that is none, and why."""

    path: Path
    reason: str


def save_checkpoint(
    folder: Path,
    state: TrainingState,
    parts: Mapping[str, Mapping[str, Any]],
    tensors: Mapping[str, Mapping[str, torch.Tensor]],
    config: Mapping[str, Any],
    keep: int,
) -> Path:
    """Write a checkpoint of this step in `folder`, remove the earliest written beyond `keep`, and return its path.

    Tensors are taken from any device and in any memory format. On one process of the run only. Raises OSError where
    the disk is full or refuses, TypeError where a part holds what `load_checkpoint` would not read back (anything but
    tensors, plain values and dicts, lists and tuples of them); the checkpoints that were there stay in both cases.
    """
    for name, part in parts.items():
        check_plain(dict(part), name)
    written_config = json.loads(json.dumps(dict(config)))
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    final = folder / f"step-{state.step:08d}"
    temporary = folder / f".{final.name}.tmp"
    order = 1 + max((order_of(path) or 0 for path in list_checkpoints(folder)), default=0)
    try:
        temporary.mkdir(exist_ok=True)
        files = write_files(temporary, parts, tensors)
        about = {"format": FORMAT, **dataclasses.asdict(state), "order": order, "config": written_config}
        write_description(temporary / CHECKPOINT_FILE, about | {"software": software_versions(), "files": files})
        sync(temporary)
        if final.exists():  # It keeps counting, under another name, until the new one has its own.
            replaced = final.with_name(final.name + REPLACED)
            remove(replaced)
            final.rename(replaced)
        temporary.rename(final)
        sync(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    for path in folder.glob(f"step-*{REPLACED}"):
        remove(path)
    for path in sorted(list_checkpoints(folder), key=lambda path: (order_of(path) or 0, path.name))[:-keep]:
        remove(path)
    return final


def find_latest(folder: Path) -> tuple[Path | None, list[PassedOver]]:
    """Return the latest written checkpoint that is whole, if any, and those that were passed over for it.

    Latest is by the order of writing, not by step: a run that went back to step 1,000 and came to 1,500 goes on from
    there, whatever lies beside it. One that does not tell its place any more may have been the latest, and is told
    of. Reads every byte of the checkpoint that it returns.
    """
    passed_over: list[PassedOver] = []
    for path in sorted(
        list_checkpoints(folder), key=lambda path: (order_of(path) or math.inf, path.name), reverse=True
    ):
        reason = find_damage(path)
        if reason is None:
            return path, passed_over
        passed_over.append(PassedOver(path, reason))
    return None, passed_over


def resolve_resume(folder: Path, resume: str | Path) -> tuple[Path | None, list[PassedOver]]:
    """Return the checkpoint to go on from, or None to begin, and those that were passed over, to be printed.

    `resume` is "latest" (of `folder`, or none where it holds none), "none", or a checkpoint's path. A run that begins
    anew in a folder of checkpoints replaces them, the earliest written first. Reads every byte of the checkpoint: ask
    on one process and tell the others. Raises TrainingError where the path is no whole checkpoint, and where all that
    `folder` holds are damaged.
    """
    if resume == "none":
        return None, []
    if resume == "latest":
        path, passed_over = find_latest(folder)
        if path is None and passed_over:
            told = "; ".join(f"{damaged.name}: {reason}" for damaged, reason in passed_over)
            raise TrainingError(f"no checkpoint in {folder} is whole ({told}); move them away to begin anew")
        return path, passed_over
    path = Path(resume)
    if (reason := find_damage(path)) is not None:
        raise TrainingError(f"{path} is no checkpoint to go on from: {reason}")
    return path, []


def load_checkpoint(path: Path, *, only: Collection[str] | None = None) -> Checkpoint:
    """Read a checkpoint to the CPU; `only` names the parts and tensors that are wanted, all where it is None.

    Sizes are checked and digests are not: `find_latest` and `resolve_resume` have read them, once for all processes.
    Raises TrainingError where `path` is no checkpoint or lacks what `only` names.
    """
    about = describe(path)
    damage = about if isinstance(about, str) else find_damage(path, every_byte=False)
    if damage is not None or isinstance(about, str):
        raise TrainingError(f"{path} is no checkpoint: {damage}")
    files = [path / name for name in about["files"] if only is None or Path(name).stem in only]
    if missing := set(only or ()) - {file.stem for file in files}:
        raise TrainingError(f"{path} holds no {' and no '.join(sorted(missing))}")
    parts: dict[str, dict[str, Any]] = {}
    tensors: dict[str, dict[str, torch.Tensor]] = {}
    for file in files:
        try:
            if file.suffix == ".pt":
                parts[file.stem] = torch.load(file, map_location="cpu", weights_only=True)
            else:
                tensors[file.stem] = safetensors.torch.load_file(file)
        except Exception as error:
            raise TrainingError(f"{file} cannot be read ({error}); resume from another checkpoint") from error
    return Checkpoint(
        state=TrainingState(step=about["step"], position=about["position"]),
        parts=parts,
        tensors=tensors,
        config=about["config"],
        software=about["software"],
    )
