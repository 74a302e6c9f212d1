"""Object stores: s3:// and gs:// by Arrow's filesystems, other clouds by fsspec's where they are installed.

Which service answers, and with whose credentials, is said by the environment alone, as for the cloud's own tools:
`AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS` and the like. Nothing in a location can change it, as a listing may
come from anybody.
"""

import functools
import os
from datetime import timedelta
from typing import Any

from shards.errors import StoreError

FSSPEC_SCHEMES = ("abfs", "abfss", "adl", "az", "hf", "oci", "oss")
"""A choice: fsspec knows others that read local files or any host, which must not stand in a listing."""
SCHEMES = ("s3", "gs", "gcs", *FSSPEC_SCHEMES)
_TIMEOUT_S = 30.0
_NUM_ATTEMPTS = 4
_REASONS = {
    "configured region": "the bucket is in another region than the environment says (AWS_REGION)",
    "NO_SUCH_BUCKET": "there is no such bucket",
    "ACCESS_DENIED": "access is denied to the credentials of the environment, if it holds any",
    "INVALID_ACCESS_KEY_ID": "the store does not know the environment's access key",
    "SIGNATURE_DOES_NOT_MATCH": "the environment's secret key is not the right one",
    "NETWORK_CONNECTION": "the store does not answer",
}
"""By the word in an error of Arrow's S3 client: what a person should know."""


def is_object(location: str) -> bool:
    """Tell whether a location names an object in a store."""
    scheme, is_url, _ = location.partition("://")
    return bool(is_url) and scheme.lower() in SCHEMES


def open_store(location: str, *, endpoint: str | None = None) -> tuple[Any, str]:
    """Give the filesystem (of pyarrow) that holds a location, and the path there. Raises StoreError.

    `endpoint` is the URL of a service other than the one that the environment names.
    """
    scheme, _, path = location.partition("://")
    if not is_object(location):
        raise StoreError(f"{scheme}:// is none of the stores that are known: {', '.join(SCHEMES)}")
    # Connections do not survive a fork.
    return _open_filesystem(scheme.lower(), endpoint or _find_endpoint(scheme.lower()), os.getpid()), path


def say_why(location: str, error: Exception) -> str:
    """Say in one line what a store's client has to say of a location."""
    endpoint = _find_endpoint(location.partition("://")[0].lower())
    reason = next((reason for word, reason in _REASONS.items() if word in str(error)), one_line(error))
    return f"{location}: {reason}" + (f" (asked of {endpoint})" if endpoint else "")


def one_line(error: Exception) -> str:
    """Say an error of a store's client in one line."""
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


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
                allow_delayed_open=True,  # A small object is then put by one request.
            )
        if scheme in ("gs", "gcs"):
            return _open_google(fs, endpoint)
        import fsspec

        return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem(scheme)))
    except ImportError as error:
        raise StoreError(f"{scheme}:// needs a package that is not installed: {error}"[:300]) from error
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot open {scheme}://: {one_line(error)}") from error


def _open_google(fs: Any, emulator: str | None) -> Any:
    limit = timedelta(seconds=_TIMEOUT_S)
    if emulator:
        # A stand-in for the service knows no credentials, and without this they would be looked for first.
        scheme, _, endpoint = emulator.rstrip("/").partition("://")
        return fs.GcsFileSystem(anonymous=True, scheme=scheme, endpoint_override=endpoint, retry_time_limit=limit)
    return fs.GcsFileSystem(retry_time_limit=limit)
