"""Where the files of a data set lie: a folder, an HTTP server or S3. Names in, bytes out.

A storage is small and can be sent to a worker; connections are made where they are used, one for each process.
"""

import dataclasses
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import requests

from training.data.errors import DataError

TIMEOUT_S = 60.0
USER_AGENT = "pix2gif"
NUM_ATTEMPTS = 4
"""How often a remote read is tried, with a pause that doubles from half a second."""
_CHUNK = 2**20


class StorageError(DataError):
    """A file cannot be read where it lies."""


class ByteSource(Protocol):
    """An open file."""

    def read_at(self, offset: int, num_bytes: int) -> bytes:
        """Read a range; fewer bytes where the file ends before. Raises StorageError."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Storage(Protocol):
    """The files below one location."""

    @property
    def location(self) -> str:
        """As the user gave it, without a slash at the end."""
        ...

    @property
    def is_remote(self) -> bool:
        """Whether a read crosses a network."""
        ...

    def path_of(self, name: str) -> str:
        """Path or URL of a file, for a person."""
        ...

    def read_whole(self, name: str) -> bytes:
        """Read a small file. Raises FileNotFoundError, or StorageError."""
        ...

    def open(self, name: str) -> ByteSource:
        """Open a file for reads of ranges. Raises StorageError."""
        ...

    def stream(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes once, in order. Raises StorageError."""
        ...


def open_storage(location: str, *, s3_endpoint: str | None = None) -> Storage:
    """Choose by the scheme: a folder's path, http://, https:// or s3://. Raises DataError for another."""
    scheme, is_url, _ = location.partition("://")
    location = location.rstrip("/") or "/"
    if not is_url:
        return FolderStorage(location=location)
    if scheme.lower() in ("http", "https"):
        return HttpStorage(location=location)
    if scheme.lower() == "s3":
        endpoint = s3_endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        return S3Storage(location=location, endpoint=endpoint)
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
        while chunk := file.read_at(offset, _CHUNK):
            offset += len(chunk)
            yield chunk
        file.close()


_SESSIONS: dict[int, requests.Session] = {}


def _session() -> requests.Session:
    """Give this process's connections; those of a parent are not to be shared after a fork."""
    if os.getpid() not in _SESSIONS:
        session = requests.Session()
        session.headers["User-Agent"] = USER_AGENT
        # A range of encoded bytes would be a range of something else.
        session.headers["Accept-Encoding"] = "identity"
        _SESSIONS.clear()
        _SESSIONS[os.getpid()] = session
    return _SESSIONS[os.getpid()]


def _get(url: str, headers: dict[str, str], *, stream: bool) -> requests.Response:
    """Ask, and ask again where the network or the server was at fault. Raises FileNotFoundError or StorageError."""
    reason = ""
    for attempt in range(NUM_ATTEMPTS):
        if attempt:
            time.sleep(0.5 * 2 ** (attempt - 1))
        try:
            response = _session().get(url, headers=headers, stream=stream, timeout=TIMEOUT_S)
        except requests.RequestException as error:
            reason = f"{type(error).__name__}: {error}"[:200]
            continue
        if response.status_code in (200, 206):
            return response
        reason = f"HTTP {response.status_code} {response.reason}"
        response.close()
        if response.status_code in (404, 410):
            raise FileNotFoundError(url)
        if response.status_code < 500 and response.status_code not in (408, 429):
            break
    raise StorageError(f"{url}: {reason}")


@dataclasses.dataclass(frozen=True)
class _HttpFile:
    url: str

    def read_at(self, offset: int, num_bytes: int) -> bytes:
        """Ask for a range."""
        try:
            response = _get(self.url, {"Range": f"bytes={offset}-{offset + num_bytes - 1}"}, stream=False)
        except FileNotFoundError:
            raise StorageError(f"{self.url}: HTTP 404, there is no such file") from None
        if response.status_code != 206:
            raise StorageError(f"{self.url}: the server answers no ranges; tell a folder to cache whole shards in")
        return response.content

    def close(self) -> None:
        """Nothing is held."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HttpStorage:
    """Files below a URL, as any static web server gives them."""

    location: str
    is_remote: bool = dataclasses.field(default=True, init=False)

    def path_of(self, name: str) -> str:
        """URL of a file."""
        return f"{self.location}/{name}"

    def read_whole(self, name: str) -> bytes:
        """Read a small file."""
        return _get(self.path_of(name), {}, stream=False).content

    def open(self, name: str) -> _HttpFile:
        """Name a file; nothing is asked yet."""
        return _HttpFile(self.path_of(name))

    def stream(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes."""
        url = self.path_of(name)
        try:
            with _get(url, {}, stream=True) as response:
                yield from response.iter_content(_CHUNK)
        except FileNotFoundError:
            raise StorageError(f"{url}: HTTP 404, there is no such file") from None
        except requests.RequestException as error:
            raise StorageError(f"{url}: {type(error).__name__}: {error}"[:300]) from error


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
        while chunk := file.read_at(offset, 8 * _CHUNK):
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
