"""Files on a web server, whole or by ranges."""

import dataclasses
import os
import time
from collections.abc import Iterator

import requests

from training.data.byte_source import CHUNK, NUM_ATTEMPTS, TIMEOUT_S, StorageError

USER_AGENT = "pix2gif"

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
            raise StorageError(f"{self.url}: the server answers no ranges; set cache to a folder for whole shards")
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
                yield from response.iter_content(CHUNK)
        except FileNotFoundError:
            raise StorageError(f"{url}: HTTP 404, there is no such file") from None
        except requests.RequestException as error:
            raise StorageError(f"{url}: {type(error).__name__}: {error}"[:300]) from error
