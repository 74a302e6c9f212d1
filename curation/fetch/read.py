"""A location that workers can read -> its bytes: a file, an object in a store, a member of an archive."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from curation.archives.errors import MemberError, MemberTooLargeError
from curation.archives.location import describe, find_reason, is_member
from curation.archives.read import read_member
from curation.errors import SourceChangedError
from curation.fetch.errors import FetchError, TooManyBytesError
from shards.errors import StoreError, describe_error
from shards.storage.object_stores import first_line, is_object, open_store

_TIMEOUT_S = 300.0
_CHUNK_BYTES = 2**20


def read_clip(path: str, sha256: str | None, max_bytes: int) -> bytes:
    """Read a clip's bytes again, later in the run. Raises SourceChangedError where their SHA-256 is another."""
    try:
        data = fetch_bytes(path, max_bytes)
    except (FetchError, TooManyBytesError) as error:
        raise SourceChangedError(
            f"{describe(path)} was there when the run began: {error}; run the same command again"
        ) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SourceChangedError(f"{describe(path)} was changed during the run; run the same command again")
    return data


def fetch_bytes(location: str, max_bytes: int, folder: str | None = None) -> bytes:
    """Read a path, an object, such as `s3://bucket/key`, or a member. Raises FetchError or TooManyBytesError.

    folder: the folder of --gifs or of the listing, without symbolic links. A path that leads out of it, also by a link,
    is refused.

    Web URLs are refused: the fetch stage downloads them before any worker starts.
    """
    if (reason := find_reason(location)) is not None:
        raise FetchError(reason)
    if is_member(location):
        return _read_member(location, max_bytes)
    scheme, is_url, _ = location.partition("://")
    if is_object(location):
        data = bytearray()
        download_object(location, data.extend, max_bytes, time.monotonic() + _TIMEOUT_S)
        return bytes(data)
    if is_url:
        raise FetchError(f"{scheme}:// locations cannot be read by a worker")
    return _read_file(Path(location), max_bytes, folder)


def _read_member(location: str, max_bytes: int) -> bytes:
    try:
        return read_member(location, max_bytes)
    except MemberTooLargeError as error:
        raise TooManyBytesError(str(error)) from error
    except MemberError as error:
        raise FetchError(str(error)) from error


def _read_file(path: Path, max_bytes: int, folder: str | None) -> bytes:
    try:
        if folder and not Path(os.path.realpath(path)).is_relative_to(folder):
            raise FetchError(f"{path} leads out of {folder}; only files below that folder are read")
        if not path.is_file():
            raise FetchError(f"{path} is not a file" if path.exists() else f"there is no file {path}")
        _check_size(path.stat().st_size, max_bytes)
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise FetchError(f"cannot read {path}: {describe_error(error)}") from error


def download_object(location: str, write: Callable[[bytes], object], max_bytes: int, deadline_s: float) -> None:
    """Pass an object's bytes to `write` in chunks, until time.monotonic() reaches `deadline_s`.

    Raises FetchError or TooManyBytesError. Neither is worth a retry, because the store's client retries requests.
    """
    try:
        store, path = open_store(location)
        num_bytes = store.get_file_info(path).size
        if num_bytes is None:
            raise FetchError(f"there is no object {location}")
        _check_size(num_bytes, max_bytes)
        # A stream, not a file: opening a file on Google's store blocks all threads of this process.
        with store.open_input_stream(path, compression=None) as stream:
            while num_bytes:
                if time.monotonic() > deadline_s:
                    raise FetchError("not complete by the deadline")
                chunk = stream.read(min(num_bytes, _CHUNK_BYTES))
                if not chunk:
                    raise FetchError("the response was cut short")
                write(chunk)
                num_bytes -= len(chunk)
    except StoreError as error:
        raise FetchError(str(error)) from error
    except FileNotFoundError as error:
        raise FetchError(f"there is no object {location}") from error
    except (OSError, ValueError) as error:
        raise FetchError(f"cannot read {location}: {first_line(error)}") from error


def _check_size(num_bytes: int, max_bytes: int) -> None:
    if num_bytes > max_bytes:
        raise TooManyBytesError(f"{num_bytes:,} bytes, more than the limit of {max_bytes:,}")
