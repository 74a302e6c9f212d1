"""Objects in stores: s3:// and gs:// by Arrow's filesystems, other clouds by fsspec's where they are installed.

Which service answers, and with whose credentials, is said by the environment alone, as for the cloud's own tools:
`AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS` and the like. Nothing in a location can change it, as a listing may
come from anybody.
"""

import functools
import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from curation.fetch.errors import FetchError, TooManyBytesError, TransientError

FSSPEC_SCHEMES = ("abfs", "abfss", "adl", "az", "hf", "oci", "oss")
"""A choice: fsspec knows others that read local files or any host, which must not stand in a listing."""
SCHEMES = ("s3", "gs", "gcs", *FSSPEC_SCHEMES)
_TIMEOUT_S = 30.0
_NUM_ATTEMPTS = 4
_CHUNK = 2**20


def is_object(location: str) -> bool:
    """Tell whether a location names an object in a store."""
    scheme, is_url, _ = location.partition("://")
    return bool(is_url) and scheme.lower() in SCHEMES


def open_store(location: str) -> tuple[Any, str]:
    """Give the filesystem (of pyarrow) that holds a location, and the path there. Raises FetchError."""
    scheme, _, path = location.partition("://")
    # Connections do not survive a fork.
    return _open_filesystem(scheme.lower(), os.getpid()), path


@functools.cache
def _open_filesystem(scheme: str, _process: int) -> Any:
    from pyarrow import fs

    try:
        if scheme == "s3":
            return fs.S3FileSystem(
                endpoint_override=os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"),
                retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_NUM_ATTEMPTS),
                connect_timeout=_TIMEOUT_S,
                request_timeout=_TIMEOUT_S,
            )
        if scheme in ("gs", "gcs"):
            return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=_TIMEOUT_S))
        import fsspec

        return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem(scheme)))
    except ImportError as error:
        raise FetchError(f"{scheme}:// needs a package that is not installed: {error}"[:300]) from error
    except (OSError, ValueError) as error:
        raise FetchError(f"cannot open {scheme}://: {one_line(error)}") from error


def download_object(location: str, write: Callable[[bytes], object], max_bytes: int, deadline_s: float) -> None:
    """Give an object's bytes to `write`, a chunk at a time, until the clock (monotonic) shows `deadline_s`.

    Raises FetchError, TransientError past the deadline, or TooManyBytesError. The store's own client repeats what a
    network or a busy service spoils.
    """
    filesystem, path = open_store(location)
    try:
        with filesystem.open_input_file(path) as file:
            if file.size() > max_bytes:
                raise TooManyBytesError(f"{file.size():,} bytes, more than the limit of {max_bytes:,}")
            missing = file.size()
            while missing:
                if time.monotonic() > deadline_s:
                    raise TransientError("not whole by the deadline")
                chunk = file.read(min(missing, _CHUNK))
                if not chunk:
                    raise TransientError("the answer was cut short")
                write(chunk)
                missing -= len(chunk)
    except FileNotFoundError as error:
        raise FetchError(f"there is no object {location}") from error
    except (OSError, ValueError) as error:
        raise FetchError(f"cannot read {location}: {one_line(error)}") from error


def one_line(error: Exception) -> str:
    """Say an error of a store's client in one line."""
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
