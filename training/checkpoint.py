"""A run's state on disk: written whole or not at all, proved before it is read, kept by count.

In: what the trainer hands over. Out: RUN/checkpoints/step-00001000, a folder of `NAME.safetensors` (weights, EMA),
`NAME.pt` (state dicts) and `checkpoint.json`, which is written last and holds the size and the SHA-256 of the others,
and of itself. A checkpoint is written under a temporary name, reaches the disk, and only then takes its own name; so a
killed run, a full disk or a power cut leaves the checkpoints that were there before.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import random
import re
import shutil
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch

from training.errors import TrainingError

CHECKPOINT_FILE = "checkpoint.json"
_FORMAT = 1
_REPLACED = ".replaced"
_NAME = re.compile(r"step-(\d+)(?:\.replaced)?")
_PACKAGES = ("accelerate", "diffusers", "numpy", "pix2gif", "safetensors", "torch", "transformers")
_PLAIN = {bool, int, float, complex, str, bytes, type(None), torch.Size, torch.dtype, torch.device}


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
        _check_plain(dict(part), name)
    written_config = json.loads(json.dumps(dict(config)))
    folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    final = folder / f"step-{state.step:08d}"
    temporary = folder / f".{final.name}.tmp"
    order = 1 + max((_order(path) or 0 for path in _checkpoints(folder)), default=0)
    try:
        temporary.mkdir(exist_ok=True)
        files = _write_files(temporary, parts, tensors)
        about = {"format": _FORMAT, **dataclasses.asdict(state), "order": order, "config": written_config}
        _write_description(temporary / CHECKPOINT_FILE, about | {"software": software_versions(), "files": files})
        _sync(temporary)
        if final.exists():  # It keeps counting, under another name, until the new one has its own.
            replaced = final.with_name(final.name + _REPLACED)
            _remove(replaced)
            final.rename(replaced)
        temporary.rename(final)
        _sync(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    for path in folder.glob(f"step-*{_REPLACED}"):
        _remove(path)
    for path in sorted(_checkpoints(folder), key=lambda path: (_order(path) or 0, path.name))[:-keep]:
        _remove(path)
    return final


def find_latest(folder: Path) -> tuple[Path | None, list[PassedOver]]:
    """Return the latest written checkpoint that is whole, if any, and those that were passed over for it.

    Latest is by the order of writing, not by step: a run that went back to step 1,000 and came to 1,500 goes on from
    there, whatever lies beside it. One that does not tell its place any more may have been the latest, and is told
    of. Reads every byte of the checkpoint that it returns.
    """
    passed_over: list[PassedOver] = []
    for path in sorted(_checkpoints(folder), key=lambda path: (_order(path) or math.inf, path.name), reverse=True):
        reason = _damage(path)
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
    if (reason := _damage(path)) is not None:
        raise TrainingError(f"{path} is no checkpoint to go on from: {reason}")
    return path, []


def load_checkpoint(path: Path, *, only: Collection[str] | None = None) -> Checkpoint:
    """Read a checkpoint to the CPU; `only` names the parts and tensors that are wanted, all where it is None.

    Sizes are checked and digests are not: `find_latest` and `resolve_resume` have read them, once for all processes.
    Raises TrainingError where `path` is no checkpoint or lacks what `only` names.
    """
    about = _describe(path)
    damage = about if isinstance(about, str) else _damage(path, every_byte=False)
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


def generator_states() -> dict[str, Any]:
    """Return the states of this process's generators (Python, NumPy, PyTorch, each GPU) as a part of a checkpoint."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (name, np.asarray(keys).tolist(), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_generator_states(states: Mapping[str, Any]) -> None:
    """Put generators back where `generator_states` saw them; GPUs that are not here are left out."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    for device in range(min(len(states["cuda"]), torch.cuda.device_count())):
        torch.cuda.set_rng_state(states["cuda"][device], device)


def software_versions() -> dict[str, str]:
    """Return the versions of what a run depends on, by name; what is not installed is left out."""
    versions = {"python": platform.python_version(), "cuda": str(torch.version.cuda)}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _check_plain(value: object, where: str) -> None:
    """Raise TypeError at what `torch.load(weights_only=True)` refuses: now, not when the run is to go on."""
    if isinstance(value, torch.Tensor) or type(value) in _PLAIN:
        return
    if type(value) in (dict, OrderedDict) and isinstance(value, dict):
        for key, item in value.items():
            _check_plain(key, f"a key of {where}")
            _check_plain(item, f"{where}[{key!r}]")
    elif type(value) in (list, tuple) and isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_plain(item, f"{where}[{index}]")
    else:
        raise TypeError(f"{where} is of {type(value)}; a checkpoint holds tensors and plain values only")


def _write_files(
    folder: Path, parts: Mapping[str, Mapping[str, Any]], tensors: Mapping[str, Mapping[str, torch.Tensor]]
) -> dict[str, dict[str, Any]]:
    """Write all but the description, and return what it is to say of each file."""
    files = {}
    for name, part in parts.items():
        files[f"{name}.pt"] = _write_file(folder / f"{name}.pt", functools.partial(_write_part, dict(part)))
    for name, group in tensors.items():
        write = functools.partial(safetensors.torch.save_file, _make_writable(group), metadata={"format": "pt"})
        files[f"{name}.safetensors"] = _write_file(folder / f"{name}.safetensors", write)
    return files


def _make_writable(group: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors as safetensors wants them: on the CPU, not channels last, none on another's memory."""
    writable: dict[str, torch.Tensor] = {}
    taken: set[int] = set()
    for name, tensor in group.items():
        plain = tensor.detach().to("cpu").contiguous()
        memory = plain.untyped_storage().data_ptr()
        writable[name] = plain.clone() if memory in taken else plain
        taken.add(memory)
    return writable


def _write_part(part: dict[str, Any], path: Path) -> None:
    with path.open("wb") as file:  # An open file, not its path: so a full disk is told as what it is.
        torch.save(part, file)


def _write_file(path: Path, write: Callable[[Path], None]) -> dict[str, Any]:
    try:
        write(path)
    except Exception as error:
        if (number := _os_error(error)) is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error
    _sync(path)
    return {"num_bytes": path.stat().st_size, "sha256": _digest(path)}


def _os_error(error: BaseException | None) -> int | None:
    """Return the system's error number behind an error; the libraries that write raise theirs in its place."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        if told := re.search(r"\(os error (\d+)\)", str(error)):
            return int(told[1])
        error = error.__cause__ or error.__context__
    return None


def _write_description(path: Path, about: dict[str, Any]) -> None:
    path.write_text(json.dumps(about | {"sha256": _digest_of(about)}, indent=2) + "\n", encoding="utf-8")
    _sync(path)


def _describe(path: Path) -> dict[str, Any] | str:
    """Return what checkpoint.json says, or why it cannot be relied on."""
    try:
        about = json.loads((path / CHECKPOINT_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return f"it has no {CHECKPOINT_FILE}"
    except OSError as error:
        return f"{CHECKPOINT_FILE} cannot be read ({error.strerror})"
    except ValueError:
        return f"{CHECKPOINT_FILE} is not as it was written"
    if not isinstance(about, dict) or about.pop("sha256", None) != _digest_of(about):
        return f"{CHECKPOINT_FILE} is not as it was written"
    if about["format"] != _FORMAT:
        return f"it has format {about['format']}, and this version reads {_FORMAT}"
    return about


def _damage(path: Path, *, every_byte: bool = True) -> str | None:
    """Return why a checkpoint is not whole, or None."""
    about = _describe(path)
    if isinstance(about, str):
        return about
    for name, file in about["files"].items():
        try:
            if (num_bytes := (path / name).stat().st_size) != file["num_bytes"]:
                return f"{name} has {num_bytes:,} bytes and not {file['num_bytes']:,}"
            if every_byte and _digest(path / name) != file["sha256"]:
                return f"{name} is not as it was written"
        except FileNotFoundError:
            return f"it has no {name}"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    return None


def _checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if _NAME.fullmatch(path.name)] if folder.is_dir() else []


def _order(path: Path) -> int | None:
    """Return which in the order of writing this checkpoint is, from 1; None where it does not tell."""
    about = _describe(path)
    return None if isinstance(about, str) else int(about["order"])


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(about: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _sync(path: Path) -> None:
    """Wait until a file's data, or a folder's names, have reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    """Remove a checkpoint, by another name first: one that is half removed must not look like one."""
    if path.exists():
        doomed = path.with_name(f".{path.name}.removed.tmp")
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)  # What a network disk still holds goes at the next checkpoint.


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed runs left half written or half removed."""
    for path in folder.glob(".step-*.tmp"):
        shutil.rmtree(path, ignore_errors=True)
