"""Clients of object stores: s3:// and gs:// through Arrow, other clouds through fsspec if it is installed.

The environment alone decides which service answers and with whose credentials, as it does for the clouds' own tools:
`AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS` and so on. A location cannot change that, because a listing may
come from anybody.
"""

import functools
import os
from datetime import timedelta
from typing import Any

from shards.errors import StoreError
from shards.storage.retry import NUM_ATTEMPTS

FSSPEC_SCHEMES = ("abfs", "abfss", "adl", "az", "hf", "oci", "oss")
"""An explicit list: fsspec has other schemes that read local files or any host, which a listing must not name."""
GOOGLE_SCHEMES = ("gs", "gcs")
SCHEMES = ("s3", *GOOGLE_SCHEMES, *FSSPEC_SCHEMES)
_TIMEOUT_S = 30.0
_REASONS = {
    "configured region": "the bucket is in another region than the environment says (AWS_REGION)",
    "NO_SUCH_BUCKET": "there is no such bucket",
    "ACCESS_DENIED": "access is denied to the credentials of the environment, if it holds any",
    "INVALID_ACCESS_KEY_ID": "the store does not know the environment's access key",
    "SIGNATURE_DOES_NOT_MATCH": "the environment's secret key is not the right one",
    "NETWORK_CONNECTION": "the store does not answer",
}
"""Explanation for a user, by a word in an error of Arrow's S3 client."""


def is_object(location: str) -> bool:
    """Return whether a location is in an object store, by its scheme."""
    scheme, is_url, _ = location.partition("://")
    return bool(is_url) and scheme.lower() in SCHEMES


def open_store(location: str) -> tuple[Any, str]:
    """Return the pyarrow FileSystem of a location, and the path in it. Raises StoreError."""
    scheme, _, path = location.partition("://")
    if not is_object(location):
        raise StoreError(f"{scheme}:// is none of the stores that are known: {', '.join(SCHEMES)}")
    # Connections do not survive a fork.
    return _open_filesystem(scheme.lower(), _find_endpoint(scheme.lower()), os.getpid()), path


def describe_error(location: str, error: Exception) -> str:
    """Return one line about a client's error at a location."""
    endpoint = _find_endpoint(location.partition("://")[0].lower())
    reason = next((reason for word, reason in _REASONS.items() if word in str(error)), first_line(error))
    return f"{location}: {reason}" + (f" (asked of {endpoint})" if endpoint else "")


def first_line(error: Exception) -> str:
    """Return the first line of a client's error."""
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def _find_endpoint(scheme: str) -> str | None:
    """Return the URL of a service other than the cloud's, from the variables that the cloud's own tools read."""
    if scheme == "s3":
        return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if scheme == "hf":
        return os.environ.get("HF_ENDPOINT")
    return os.environ.get("CLOUD_STORAGE_EMULATOR_ENDPOINT") if scheme in GOOGLE_SCHEMES else None


@functools.cache
def _open_filesystem(scheme: str, endpoint: str | None, _process: int) -> Any:
    from pyarrow import fs

    try:
        if scheme == "s3":
            return fs.S3FileSystem(
                endpoint_override=endpoint,
                retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=NUM_ATTEMPTS),
                connect_timeout=_TIMEOUT_S,
                request_timeout=_TIMEOUT_S,
                allow_delayed_open=True,  # Uploads a small object in one request.
            )
        if scheme in GOOGLE_SCHEMES:
            return _open_google(fs, endpoint)
        import fsspec

        options = {"endpoint": endpoint} if scheme == "hf" else {}
        return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem(scheme, **options)))
    except ImportError as error:
        raise StoreError(f"{scheme}:// needs a package that is not installed: {error}"[:300]) from error
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot open {scheme}://: {first_line(error)}") from error


def _open_google(fs: Any, emulator: str | None) -> Any:
    limit = timedelta(seconds=_TIMEOUT_S)
    if emulator:
        # An emulator needs no credentials, and the client would look for them first.
        scheme, _, endpoint = emulator.rstrip("/").partition("://")
        return fs.GcsFileSystem(anonymous=True, scheme=scheme, endpoint_override=endpoint, retry_time_limit=limit)
    return fs.GcsFileSystem(retry_time_limit=limit)
