"""Where files are: on disk, in an object store, or on a web server, behind the same few methods.

::

    Path         a file or folder on disk (pathlib)
    ObjectPath   s3://, gs://        read, written and listed
    HttpPath     http://, https://   read only

`shards.storage.atomic.write_atomically` writes to a Path or an ObjectPath.
"""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote

import pyarrow as pa

from shards.errors import StoreError
from shards.storage.http_path import HttpPath
from shards.storage.object_path import ObjectPath
from shards.storage.object_stores import GOOGLE_SCHEMES

__all__ = [
    "HttpPath",
    "Location",
    "ObjectPath",
    "ReadableLocation",
    "for_arrow",
    "list_files",
    "list_sizes",
    "on_disk",
    "open_for_arrow",
    "parse_location",
    "parse_readable_location",
    "path_of_file_url",
    "read_at_most",
    "remove_tree",
    "user_cache_folder",
]

Location: TypeAlias = Path | ObjectPath
"""Where a data set can be written, and read."""
ReadableLocation: TypeAlias = Location | HttpPath
"""Where a finished data set can be read."""

_FILE_URL = re.compile(r"file://(?:localhost)?(/.*)", re.IGNORECASE | re.DOTALL)
_STORE_SCHEMES = ("s3", *GOOGLE_SCHEMES)
_HTTP_SCHEMES = ("http", "https")


def parse_location(text: str | Location) -> Location:
    """Return the Path or ObjectPath of a path or URL. Raises StoreError for other schemes."""
    scheme, is_url, path = str(text).partition("://")
    if not is_url:
        return Path(str(text))
    if scheme.lower() not in _STORE_SCHEMES:
        raise StoreError(f"{text}: a data set must be in a folder, or in a store at s3:// or gs://, not at {scheme}://")
    if not path.strip("/"):
        raise StoreError(f"{text}: names no bucket")
    return ObjectPath(str(text).rstrip("/"))


def parse_readable_location(text: str | ReadableLocation) -> ReadableLocation:
    """Return the Path, ObjectPath or HttpPath of a path or URL. Raises StoreError for other schemes."""
    scheme, is_url, _ = str(text).partition("://")
    if is_url and scheme.lower() in _HTTP_SCHEMES:
        return HttpPath(str(text).rstrip("/"))
    if is_url and scheme.lower() not in _STORE_SCHEMES:
        raise StoreError(f"{text}: data is read from a folder, http(s)://, s3:// or gs://, not from {scheme}://")
    return parse_location(str(text))


@contextlib.contextmanager
def on_disk(path: ReadableLocation) -> Iterator[Path]:
    """Yield a file on disk with the bytes of `path`: itself, or a copy that is removed when the block ends."""
    if isinstance(path, Path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="pix2gif-") as folder:
        copy = Path(folder, path.name)
        path.download(copy)
        yield copy


def read_at_most(path: ReadableLocation, max_bytes: int) -> bytes:
    """Return the first bytes of a file, up to `max_bytes`, so that a huge one is not read."""
    if not isinstance(path, Path):
        return path.read_bytes(max_bytes)
    with path.open("rb") as file:
        return file.read(max_bytes)


def list_sizes(folder: Location) -> dict[str, int]:
    """Return the size in bytes of each file of a folder, by name; empty where there is no such folder."""
    if isinstance(folder, Path):
        files = folder.iterdir() if folder.is_dir() else ()
        return {path.name: path.stat().st_size for path in files if path.is_file()}
    return {path.name: int(info.size) for path, info in folder.scan() if info.is_file}


def list_files(folder: Location, pattern: str) -> list[Location]:
    """Return the files of a folder that match a pattern, sorted by name; none where there is no such folder.

    Raises PermissionError where the folder cannot be read.
    """
    if isinstance(folder, Path):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.scandir(folder).close()  # `glob` finds nothing in a folder that it cannot read.
    return sorted(folder.glob(pattern), key=str)


def path_of_file_url(url: str) -> str | None:
    """Return the path in a file:// URL of this machine, percent-decoded; None for anything else."""
    found = _FILE_URL.fullmatch(url)
    return unquote(found[1]) if found else None


def remove_tree(folder: Location) -> None:
    """Remove a folder and everything in it, if it exists."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder.remove_tree()


def user_cache_folder() -> Path:
    """Return this user's folder for files that can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pix2gif"


def for_arrow(path: Location) -> Any:
    """Return what Arrow can read a Parquet file from: a path on disk, or the bytes of an object.

    Arrow takes only paths that are UTF-8; any other file is opened here.
    """
    if not isinstance(path, Path):
        return pa.BufferReader(path.read_bytes())
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return path.open("rb")
    return path


def open_for_arrow(path: Location) -> Any:
    """Return what Arrow can read a part of a Parquet file from, in any order: a path on disk, or an open object."""
    return for_arrow(path) if isinstance(path, Path) else path.open("rb", buffering=0)
