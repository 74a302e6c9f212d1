"""Objects of S3, or of a service that speaks its language, whole or by ranges."""

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

from training.data.byte_source import CHUNK, NUM_ATTEMPTS, TIMEOUT_S, StorageError


class _S3File:
    def __init__(self, url: str, file: Any) -> None:
        self._url = url
        self._file = file

    def read_at(self, offset: int, num_bytes: int) -> bytes:
        """Ask for a range."""
        try:
            return bytes(self._file.read_at(max(0, min(num_bytes, self._file.size() - offset)), offset))
        except OSError as error:
            raise StorageError(f"{self._url}: {_one_line(error)}") from error

    def close(self) -> None:
        """Close it."""
        self._file.close()


_S3: dict[tuple[int, str | None], Any] = {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class S3Storage:
    """Objects below s3://BUCKET/PREFIX; credentials and region come from where AWS's own tools look for them."""

    location: str
    endpoint: str | None
    """URL of a service other than Amazon's."""
    is_remote: bool = dataclasses.field(default=True, init=False)

    def path_of(self, name: str) -> str:
        """URL of an object."""
        return f"{self.location}/{name}"

    def read_whole(self, name: str) -> bytes:
        """Read a small object."""
        file = self._open(name)
        try:
            return bytes(file.read())
        except OSError as error:
            raise StorageError(f"{self.path_of(name)}: {_one_line(error)}") from error

    def open(self, name: str) -> _S3File:
        """Open an object."""
        try:
            return _S3File(self.path_of(name), self._open(name))
        except FileNotFoundError:
            raise StorageError(f"{self.path_of(name)}: there is no such object") from None

    def stream(self, name: str) -> Iterator[bytes]:
        """Yield an object's bytes."""
        file, offset = self.open(name), 0
        while chunk := file.read_at(offset, 8 * CHUNK):
            offset += len(chunk)
            yield chunk
        file.close()

    def _open(self, name: str) -> Any:
        bucket_and_key = self.path_of(name).partition("://")[2]
        try:
            return self._filesystem().open_input_file(bucket_and_key)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError(f"{self.path_of(name)}: {_one_line(error)}") from error

    def _filesystem(self) -> Any:
        from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

        place = (os.getpid(), self.endpoint)
        if place not in _S3:
            _S3[place] = S3FileSystem(
                endpoint_override=self.endpoint,
                retry_strategy=AwsStandardS3RetryStrategy(max_attempts=NUM_ATTEMPTS),
                connect_timeout=TIMEOUT_S,
                request_timeout=TIMEOUT_S,
            )
        return _S3[place]


def _one_line(error: OSError) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
