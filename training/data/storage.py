"""Where the files of a data set lie: a folder, an HTTP server or S3."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from training.data.byte_source import CHUNK, Storage, StorageError
from training.data.errors import DataError
from training.data.http_storage import HttpStorage
from training.data.s3_storage import S3Storage


def open_storage(location: str, *, s3_endpoint: str | None = None) -> Storage:
    """Choose by the scheme: a folder's path, http://, https:// or s3://. Raises DataError for another."""
    scheme, is_url, _ = location.partition("://")
    location = location.rstrip("/") or "/"
    if not is_url:
        return FolderStorage(location=location)
    if scheme.lower() in ("http", "https"):
        return HttpStorage(location=location)
    if scheme.lower() == "s3":
        return S3Storage(location=location, endpoint=s3_endpoint)
    raise DataError(f"{location}: data are read from a folder, http://, https:// or s3://, not from {scheme}://")


class OpenFile:
    """A file on disk."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._descriptor = -1
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error

    def read_at(self, offset: int, num_bytes: int) -> bytes:
        """Read a range."""
        try:
            return os.pread(self._descriptor, num_bytes, offset)
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}") from error

    def close(self) -> None:
        """Close it, once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    __del__ = close


@dataclasses.dataclass(frozen=True, kw_only=True)
class FolderStorage:
    """A folder on this machine."""

    location: str
    is_remote: bool = dataclasses.field(default=False, init=False)

    def path_of(self, name: str) -> str:
        """Path of a file."""
        return str(Path(self.location, name))

    def read_whole(self, name: str) -> bytes:
        """Read a small file."""
        try:
            return Path(self.location, name).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(self.path_of(name)) from error
        except OSError as error:
            raise StorageError(f"{self.path_of(name)}: {error.strerror}") from error

    def open(self, name: str) -> OpenFile:
        """Open a file."""
        return OpenFile(self.path_of(name))

    def stream(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes."""
        file, offset = self.open(name), 0
        while chunk := file.read_at(offset, CHUNK):
            offset += len(chunk)
            yield chunk
        file.close()
