"""Objects of S3, or of a service that speaks its language, whole or by ranges."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from shards.errors import StoreError
from shards.stores import one_line, open_store
from training.data.byte_source import CHUNK, StorageError


class _S3File:
    def __init__(self, url: str, file: Any) -> None:
        self._url = url
        self._file = file

    def read_at(self, offset: int, num_bytes: int) -> bytes:
        """Ask for a range."""
        try:
            return bytes(self._file.read_at(max(0, min(num_bytes, self._file.size() - offset)), offset))
        except OSError as error:
            raise StorageError(f"{self._url}: {one_line(error)}") from error

    def close(self) -> None:
        """Close it."""
        self._file.close()


@dataclasses.dataclass(frozen=True, kw_only=True)
class S3Storage:
    """Objects below s3://BUCKET/PREFIX; credentials and region come from where AWS's own tools look for them."""

    location: str
    endpoint: str | None
    """URL of a service other than the one that the environment names."""
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
            raise StorageError(f"{self.path_of(name)}: {one_line(error)}") from error

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
        try:
            filesystem, bucket_and_key = open_store(self.path_of(name), endpoint=self.endpoint)
            return filesystem.open_input_file(bucket_and_key)
        except FileNotFoundError:
            raise
        except StoreError as error:
            raise StorageError(str(error)) from error
        except OSError as error:
            raise StorageError(f"{self.path_of(name)}: {one_line(error)}") from error
