"""Files of a checkpoint folder: NAME.safetensors, NAME.pt, and checkpoint.json with their sizes and SHA-256."""

import contextlib
import json
import os
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from shards.json_fields import Fields, parse_fields
from shards.manifest import digest
from shards.storage.location import read_at_most
from shards.writer import file_sha256
from training.errors import TrainingError

DESCRIPTION_FILE = "checkpoint.json"
FORMAT = 1
_MAX_DESCRIPTION_BYTES = 2**24
_FILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}\.(?:pt|safetensors)")
_PLAIN = {bool, int, float, complex, str, bytes, type(None), torch.Size, torch.dtype, torch.device}


class DamagedCheckpointError(TrainingError):
    """A folder is not a checkpoint, or a file of it is missing or has changed since it was written."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is not a complete checkpoint: {reason}")


def check_loadable(value: object, name: str) -> None:
    """Raise TypeError for a value that `torch.load(weights_only=True)` would not read back; `name` is for the message.

    Tensors, plain values, and dicts, lists and tuples of them are loadable.
    """
    if isinstance(value, torch.Tensor) or type(value) in _PLAIN:
        return
    if type(value) in (dict, OrderedDict) and isinstance(value, dict):
        for key, item in value.items():
            check_loadable(key, f"a key of {name}")
            check_loadable(item, f"{name}[{key!r}]")
    elif type(value) in (list, tuple) and isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_loadable(item, f"{name}[{index}]")
    else:
        raise TypeError(f"{name} is of {type(value)}; a checkpoint can hold tensors and plain values only")


def write_files(
    folder: Path,
    parts: Mapping[str, Mapping[str, Any]],
    tensors: Mapping[str, Mapping[str, torch.Tensor]],
    description: Mapping[str, Any],
) -> None:
    """Write each part, each group of tensors, and last the description with sizes and hashes, its own among them.

    Raises OSError, with the file's name, if the system refuses to write.
    """
    for name, part in parts.items():
        path = folder / f"{name}.pt"
        with _os_errors_naming(path), path.open("wb") as file:  # torch.save hides the OSError if given a path.
            torch.save(dict(part), file)
    for name, group in tensors.items():
        path = folder / f"{name}.safetensors"
        with _os_errors_naming(path):
            safetensors.torch.save_file(_make_contiguous(group), path, metadata={"format": "pt"})
    files = {
        path.name: {"num_bytes": path.stat().st_size, "sha256": file_sha256(path)} for path in sorted(folder.iterdir())
    }
    content = {"format": FORMAT, **description, "files": files}
    path = folder / DESCRIPTION_FILE
    with _os_errors_naming(path):
        path.write_text(json.dumps(content | {"sha256": digest(content)}, indent=2) + "\n", encoding="utf-8")


def read_description(path: Path) -> dict[str, Any]:
    """Return the content of checkpoint.json. Raises DamagedCheckpointError."""
    try:
        fields = parse_fields(read_at_most(path / DESCRIPTION_FILE, _MAX_DESCRIPTION_BYTES + 1), _MAX_DESCRIPTION_BYTES)
        content = fields.values
        if content.pop("sha256", None) != digest(content):
            raise DamagedCheckpointError(path, f"{DESCRIPTION_FILE} does not match its SHA-256")
        if fields.count("format") != FORMAT:
            raise DamagedCheckpointError(path, f"its format is {content['format']}; this version reads format {FORMAT}")
        _check_description(fields)
    except OSError as error:
        raise DamagedCheckpointError(path, f"{DESCRIPTION_FILE} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DamagedCheckpointError(path, f"{DESCRIPTION_FILE}: {error}") from error
    return content


def _check_description(fields: Fields) -> None:
    """Check the fields that a reader uses. Raises FieldError."""
    for name in ("step", "position", "order"):
        fields.count(name)
    fields.part("config")
    fields.texts_by_name("software")
    files = fields.part("files")
    files.check_names(_FILE_NAME, "NAME.pt or NAME.safetensors")
    for name in files.values:
        files.part(name).count("num_bytes")
        files.part(name).sha256("sha256")


def verify_files(path: Path, *, check_hashes: bool = True) -> dict[str, Any]:
    """Check a checkpoint's files and return its description. Raises DamagedCheckpointError.

    Without `check_hashes`, only the sizes are checked and no file is read.
    """
    description = read_description(path)
    for name, file in description["files"].items():
        try:
            num_bytes = (path / name).stat().st_size
            if num_bytes != file["num_bytes"]:
                raise DamagedCheckpointError(path, f"{name} has {num_bytes:,} bytes instead of {file['num_bytes']:,}")
            if check_hashes and file_sha256(path / name) != file["sha256"]:
                raise DamagedCheckpointError(path, f"{name} does not match its SHA-256")
        except OSError as error:
            raise DamagedCheckpointError(path, f"{name} cannot be read ({error.strerror})") from error
    return description


def _make_contiguous(group: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors as safetensors requires: on the CPU, contiguous, and without shared memory."""
    contiguous: dict[str, torch.Tensor] = {}
    addresses: set[int] = set()
    for name, tensor in group.items():
        copy = tensor.detach().to("cpu").contiguous()
        address = copy.untyped_storage().data_ptr()
        contiguous[name] = copy.clone() if address in addresses else copy
        addresses.add(address)
    return contiguous


@contextlib.contextmanager
def _os_errors_naming(path: Path) -> Iterator[None]:
    """Turn a library's error that was caused by an error of the system into OSError with the file's name."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno is not None:
                raise OSError(cause.errno, os.strerror(cause.errno), str(path)) from error
            if match := re.search(r"\(os error (\d+)\)", str(cause)):  # From the Rust code of safetensors.
                raise OSError(int(match[1]), os.strerror(int(match[1])), str(path)) from error
            cause = cause.__cause__ or cause.__context__
        raise
