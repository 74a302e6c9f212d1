"""Files and folders that are complete or absent: write under a temporary name, sync, then rename or upload."""

import contextlib
import os
import re
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from shards.storage.location import Location, ObjectPath

REPLACED_SUFFIX = ".replaced"


@contextlib.contextmanager
def write_atomically(path: Location, *, is_lasting: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends, remove it when it raises.

    The data reaches the disk before the name does, so a power cut leaves the old file or the new one. Files that no
    later run reads can skip that with `is_lasting=False`. For an object store, the temporary path is on this machine
    and the file is uploaded when the block ends.
    """
    if isinstance(path, ObjectPath):
        with tempfile.TemporaryDirectory(prefix="pix2gif-") as folder:
            yield Path(folder, path.name)
            path.upload(Path(folder, path.name))
        return
    temporary = _make_temporary_path(path)
    try:
        yield temporary
        if is_lasting:
            _sync(temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno is None or error.filename is not None:
            raise
        # Some libraries report a full disk without naming the file.
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def write_folder_atomically(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; rename it to `path` when the block ends, remove it when it raises.

    All files reach the disk before the folder takes its name. An existing folder `path` is renamed to `path`.replaced
    first and removed afterwards, so a killed process leaves a complete folder under one of the two names.
    """
    temporary, replaced = _make_temporary_path(path), path.with_name(path.name + REPLACED_SUFFIX)
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        for file in (*temporary.rglob("*"), temporary):
            _sync(file)
        if path.exists():
            remove_folder(replaced)
            path.rename(replaced)
        temporary.rename(path)
        _sync(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    remove_folder(replaced)


def remove_folder(path: Path) -> None:
    """Remove a folder if it exists. It is renamed first, so that a killed process never leaves half of it as `path`."""
    if path.exists():
        doomed = path.with_name(f".{path.name}.removed.tmp")
        shutil.rmtree(doomed, ignore_errors=True)
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def remove_temporary_files(folder: Path, names: str) -> None:
    """Remove what killed processes left of files whose names match the regular expression `names`."""
    temporary = re.compile(rf"\.({names})\.[^/]*-\d+\.tmp")
    for path in folder.glob(".*.tmp"):
        if temporary.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _make_temporary_path(path: Path) -> Path:
    """Return a hidden name beside `path`, unique to this thread, and create the parent folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two machines may write to one filesystem, and a retried task may write the same name twice.
    return path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}.tmp")


def _sync(path: Path) -> None:
    """Wait until a file's data, or a folder's entries, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(descriptor)
