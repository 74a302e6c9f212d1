"""Files on a web server, read whole or by ranges. Nothing is written or listed."""

import dataclasses
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import requests

from shards.errors import StoreError
from shards.storage.retry import retry

_TIMEOUT_S = 60.0
_CHUNK_BYTES = 2**20
_RANGE_NOT_SATISFIABLE = 416
Result = TypeVar("Result")


class _TransientError(StoreError):
    """A request failed, and the next one may succeed."""


@dataclasses.dataclass(frozen=True, order=True)
class HttpPath:
    """A file or folder at an http:// or https:// URL.

    Methods raise FileNotFoundError for a file that does not exist, and StoreError where the server cannot be reached
    or refuses. Requests that fail in a way that may pass are retried (shards.storage.retry).
    """

    location: str

    def __str__(self) -> str:
        return self.location

    def __truediv__(self, name: str) -> "HttpPath":
        return HttpPath(f"{self.location}/{name}")

    @property
    def name(self) -> str:
        """The part after the last slash."""
        return self.location.rpartition("/")[2]

    def absolute(self) -> "HttpPath":
        """Return the path itself: URLs are always absolute."""
        return self

    def read_bytes(self, max_bytes: int | None = None) -> bytes:
        """Return the file's bytes, or the first `max_bytes` of them."""

        def read(response: requests.Response) -> bytes:
            chunks, num_bytes = [], 0
            for chunk in response.iter_content(_CHUNK_BYTES):
                chunks.append(chunk)
                num_bytes += len(chunk)
                if max_bytes is not None and num_bytes >= max_bytes:
                    break
            return b"".join(chunks)[:max_bytes]

        return _get(self.location, {}, read)

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the file's text."""
        return self.read_bytes().decode(encoding)

    def download(self, path: Path) -> None:
        """Write the file's bytes to a file on disk."""

        def write(response: requests.Response) -> None:
            with path.open("wb") as file:
                for chunk in response.iter_content(_CHUNK_BYTES):
                    file.write(chunk)

        _get(self.location, {}, write)

    def open(self, mode: str = "rb", buffering: int = io.DEFAULT_BUFFER_SIZE) -> Any:
        """Open the file to read it in any order; each read of `buffering` bytes, or of any size if 0, is one request.

        Reads raise StoreError where the server does not support range requests.
        """
        assert mode == "rb", mode  # noqa: S101 # The signature is Path's.
        file = _HttpFile(self.location)
        return io.BufferedReader(file, buffering) if buffering else file


class _HttpFile(io.RawIOBase):
    """A file on a web server, read by range requests."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._offset = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("seek from the end")
        self._offset = offset + (self._offset if whence == io.SEEK_CUR else 0)
        return self._offset

    def tell(self) -> int:
        return self._offset

    def readinto(self, buffer: Any) -> int:
        if not len(buffer):
            return 0
        data = self._read_range(self._offset, len(buffer))
        buffer[: len(data)] = data
        self._offset += len(data)
        return len(data)

    def _read_range(self, offset: int, num_bytes: int) -> bytes:
        def read(response: requests.Response) -> bytes:
            if response.status_code == _RANGE_NOT_SATISFIABLE:
                return b""  # The range starts at the file's end.
            if response.status_code != requests.codes.partial_content:
                raise StoreError(f"{self._url}: the server does not support range requests; set cache to a folder")
            return response.content

        return _get(self._url, {"Range": f"bytes={offset}-{offset + num_bytes - 1}"}, read)


def _get(url: str, headers: dict[str, str], read: Callable[[requests.Response], Result]) -> Result:
    """Request a URL and return what `read` makes of the response, retrying both together."""
    return retry(lambda: _get_once(url, headers, read), _TransientError)


def _get_once(url: str, headers: dict[str, str], read: Callable[[requests.Response], Result]) -> Result:
    try:
        with _session().get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
            status = response.status_code
            if status < 300 or (status == _RANGE_NOT_SATISFIABLE and "Range" in headers):
                # A few bytes may expand to gigabytes, and a range of a compressed body is no range of the file.
                if (encoding := response.headers.get("Content-Encoding", "identity").lower()) != "identity":
                    raise StoreError(f"{url}: the server sent the file as {encoding[:40]}; have it send the plain file")
                return read(response)
            if status in (404, 410):
                raise FileNotFoundError(url)
            kind = _TransientError if status >= 500 or status in (408, 429) else StoreError
            raise kind(f"{url}: HTTP {status} {response.reason}")
    except requests.RequestException as error:
        raise _TransientError(f"{url}: {type(error).__name__}: {error}"[:300]) from error


_SESSIONS: dict[int, requests.Session] = {}


def _session() -> requests.Session:
    """Return this process's connections; those inherited through a fork must not be shared."""
    if os.getpid() not in _SESSIONS:
        session = requests.Session()
        session.headers["User-Agent"] = "pix2gif"
        session.headers["Accept-Encoding"] = "identity"
        _SESSIONS.clear()
        _SESSIONS[os.getpid()] = session
    return _SESSIONS[os.getpid()]
