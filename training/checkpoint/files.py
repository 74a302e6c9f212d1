"""A checkpoint's files: written so that they have reached the disk, and removed so that no half looks like a whole."""

import functools
import json
import os
import re
import shutil
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from training.checkpoint.proof import digest, digest_of

_PLAIN = {bool, int, float, complex, str, bytes, type(None), torch.Size, torch.dtype, torch.device}


def check_plain(value: object, where: str) -> None:
    """Raise TypeError at what `torch.load(weights_only=True)` refuses: now, not when the run is to go on."""
    if isinstance(value, torch.Tensor) or type(value) in _PLAIN:
        return
    if type(value) in (dict, OrderedDict) and isinstance(value, dict):
        for key, item in value.items():
            check_plain(key, f"a key of {where}")
            check_plain(item, f"{where}[{key!r}]")
    elif type(value) in (list, tuple) and isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_plain(item, f"{where}[{index}]")
    else:
        raise TypeError(f"{where} is of {type(value)}; a checkpoint holds tensors and plain values only")


def write_files(
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
    sync(path)
    return {"num_bytes": path.stat().st_size, "sha256": digest(path)}


def _os_error(error: BaseException | None) -> int | None:
    """Return the system's error number behind an error; the libraries that write raise theirs in its place."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        if told := re.search(r"\(os error (\d+)\)", str(error)):
            return int(told[1])
        error = error.__cause__ or error.__context__
    return None


def write_description(path: Path, about: dict[str, Any]) -> None:
    """Write checkpoint.json with its own hash, and wait until it has reached the disk."""
    path.write_text(json.dumps(about | {"sha256": digest_of(about)}, indent=2) + "\n", encoding="utf-8")
    sync(path)


def sync(path: Path) -> None:
    """Wait until a file's data, or a folder's names, have reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a checkpoint, by another name first: one that is half removed must not look like one."""
    if path.exists():
        doomed = path.with_name(f".{path.name}.removed.tmp")
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)  # What a network disk still holds goes at the next checkpoint.


def remove_leftovers(folder: Path) -> None:
    """Remove what killed runs left half written or half removed."""
    for path in folder.glob(".step-*.tmp"):
        shutil.rmtree(path, ignore_errors=True)
