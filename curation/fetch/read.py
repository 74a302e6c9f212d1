"""A place within reach of every worker -> bytes: a file, or an object in a store."""

import hashlib
import time
from pathlib import Path

from curation.errors import SourceChangedError
from curation.fetch.errors import FetchError, TooManyBytesError
from curation.fetch.object_reads import download_object, is_object

_TIMEOUT_S = 300.0


def read_clip(path: str, sha256: str | None, max_bytes: int) -> bytes:
    """Read a clip's bytes again, later in the run. Raises SourceChangedError where they are not the same ones."""
    try:
        data = fetch_bytes(path, max_bytes)
    except (FetchError, TooManyBytesError) as error:
        raise SourceChangedError(f"{path} was there when the run began: {error}; run the same command again") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SourceChangedError(f"{path} was changed during the run; run the same command again")
    return data


def fetch_bytes(location: str, max_bytes: int) -> bytes:
    """Read a path or an object, such as `s3://bucket/key`. Raises FetchError, or TooManyBytesError.

    A URL of the web is not read here: the fetch stage has brought it, or said why not, before a worker asks.
    """
    scheme, is_url, _ = location.partition("://")
    if is_object(location):
        data = bytearray()
        download_object(location, data.extend, max_bytes, time.monotonic() + _TIMEOUT_S)
        return bytes(data)
    if is_url:
        raise FetchError(f"{scheme}:// locations cannot be read by a worker")
    return _read_file(Path(location), max_bytes)


def _read_file(path: Path, max_bytes: int) -> bytes:
    try:
        if not path.is_file():
            raise FetchError(f"{path} is not a file" if path.exists() else f"there is no file {path}")
        if path.stat().st_size > max_bytes:
            raise TooManyBytesError(f"{path.stat().st_size:,} bytes, more than the limit of {max_bytes:,}")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise FetchError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
