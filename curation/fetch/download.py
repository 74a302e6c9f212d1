"""A URL or an object -> a file on disk and the hash of its bytes, with retries."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from curation.fetch.errors import FetchError, TransientError
from curation.fetch.http import Web
from curation.fetch.object_reads import download_object, is_object
from curation.fetch.rate_limits import Hosts
from curation.options import FetchOptions
from curation.seeds import uniform

NUM_TRIES = 4
BACKOFF_S = 1.0
"""Before the second try; it doubles with each further one, and is drawn from half of that up to the whole."""
_WEB = ("http", "https")


class Downloads:
    """Fetching within the limits of a run. Lives in one event loop."""

    def __init__(self, web: Web, hosts: Hosts, options: FetchOptions, max_bytes: int) -> None:
        self._web = web
        self._hosts = hosts
        self._timeout_s = options.fetch_timeout
        self._max_bytes = max_bytes

    async def download(self, url: str, path: Path) -> str:
        """Write the bytes behind a URL to a file, trying again where that may help; returns their SHA-256.

        Raises FetchError or TooManyBytesError for a reason of the other side, OSError for one of this disk.
        """
        for tried in range(1, NUM_TRIES + 1):
            try:
                return await self._try(url, path)
            except TransientError as error:
                if tried == NUM_TRIES:
                    raise FetchError(f"{error}, {NUM_TRIES} times") from error
                # Drawn by name, so that many that fail together do not come back together.
                share = 0.5 + uniform(0, "backoff", url, tried) / 2
                await asyncio.sleep(BACKOFF_S * 2 ** (tried - 1) * share)
        raise AssertionError("the last try returns or raises")

    async def _try(self, url: str, path: Path) -> str:
        digest = hashlib.sha256()
        with path.open("wb") as file:

            def write(chunk: bytes) -> None:
                digest.update(chunk)
                file.write(chunk)

            if scheme_of(url) in _WEB:
                await self._web.download(url, write, self._max_bytes)
            elif is_object(url):
                await self._download_object(url, write)
            else:
                raise FetchError(_why_not(scheme_of(url)))
        return digest.hexdigest()

    async def _download_object(self, url: str, write: Callable[[bytes], object]) -> None:
        async with self._hosts.everywhere:
            deadline_s = time.monotonic() + self._timeout_s
            await asyncio.to_thread(download_object, url, write, self._max_bytes, deadline_s)


def scheme_of(url: str) -> str:
    """Give what stands before `://`, in small letters."""
    return url.partition("://")[0].lower()


def _why_not(scheme: str) -> str:
    if scheme == "file":
        return "file:// is read only where the listing lies on this machine"
    return f"{scheme}:// locations cannot be fetched"
