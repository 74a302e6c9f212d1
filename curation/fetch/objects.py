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
    if not is_object(location):
        raise FetchError(f"{scheme}:// is none of the stores that are known: {', '.join(SCHEMES)}")
    # Connections do not survive a fork.
    return _open_filesystem(scheme.lower(), _find_endpoint(scheme.lower()), os.getpid()), path


def _find_endpoint(scheme: str) -> str | None:
    """Give the URL of a service other than the usual one, as the cloud's own tools take it from the environment."""
    if scheme == "s3":
        return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return os.environ.get("CLOUD_STORAGE_EMULATOR_ENDPOINT") if scheme in ("gs", "gcs") else None


@functools.cache
def _open_filesystem(scheme: str, endpoint: str | None, _process: int) -> Any:
    from pyarrow import fs

    try:
        if scheme == "s3":
            return fs.S3FileSystem(
                endpoint_override=endpoint,
                retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_NUM_ATTEMPTS),
                connect_timeout=_TIMEOUT_S,
                request_timeout=_TIMEOUT_S,
            )
        if scheme in ("gs", "gcs"):
            return _open_google(fs, endpoint)
        import fsspec

        return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem(scheme)))
    except ImportError as error:
        raise FetchError(f"{scheme}:// needs a package that is not installed: {error}"[:300]) from error
    except (OSError, ValueError) as error:
        raise FetchError(f"cannot open {scheme}://: {one_line(error)}") from error


def _open_google(fs: Any, emulator: str | None) -> Any:
    limit = timedelta(seconds=_TIMEOUT_S)
    if emulator:
        # A stand-in for the service knows no credentials, and without this they would be looked for first.
        scheme, _, endpoint = emulator.rstrip("/").partition("://")
        return fs.GcsFileSystem(anonymous=True, scheme=scheme, endpoint_override=endpoint, retry_time_limit=limit)
    return fs.GcsFileSystem(retry_time_limit=limit)


def download_object(location: str, write: Callable[[bytes], object], max_bytes: int, deadline_s: float) -> None:
    """Give an object's bytes to `write`, a chunk at a time, until the clock (monotonic) shows `deadline_s`.

    Raises FetchError, TransientError past the deadline, or TooManyBytesError. The store's own client repeats what a
    network or a busy service spoils.
    """
    filesystem, path = open_store(location)
    try:
        num_bytes = filesystem.get_file_info(path).size
        if num_bytes is None:
            raise FetchError(f"there is no object {location}")
        if num_bytes > max_bytes:
            raise TooManyBytesError(f"{num_bytes:,} bytes, more than the limit of {max_bytes:,}")
        # A stream, not a file: to open a file on Google's store holds up every thread of this process.
        with filesystem.open_input_stream(path, compression=None) as stream:
            while num_bytes:
                if time.monotonic() > deadline_s:
                    raise TransientError("not whole by the deadline")
                chunk = stream.read(min(num_bytes, _CHUNK))
                if not chunk:
                    raise TransientError("the answer was cut short")
                write(chunk)
                num_bytes -= len(chunk)
    except FileNotFoundError as error:
        raise FetchError(f"there is no object {location}") from error
    except (OSError, ValueError) as error:
        raise FetchError(f"cannot read {location}: {one_line(error)}") from error


def one_line(error: Exception) -> str:
    """Say an error of a store's client in one line."""
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
