"""A URL or an object -> a file on disk and its SHA-256. Web requests are retried (shards.storage.retry)."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from curation.fetch.errors import FetchError, TransientError
from curation.fetch.http import HttpClient
from curation.fetch.rate_limits import RateLimits
from curation.fetch.read import download_object
from curation.options import FetchOptions
from shards.seeded_hash import uniform
from shards.storage.object_stores import is_object
from shards.storage.retry import NUM_ATTEMPTS, pause_s

_WEB_SCHEMES = ("http", "https")


class Downloads:
    """Downloads within the limits of a run. Bound to one event loop."""

    def __init__(self, client: HttpClient, limits: RateLimits, options: FetchOptions, max_bytes: int) -> None:
        self._client = client
        self._limits = limits
        self._timeout_s = options.fetch_timeout
        self._max_bytes = max_bytes

    async def download(self, url: str, path: Path) -> str:
        """Write the bytes of a URL to a file and return their SHA-256, with up to NUM_ATTEMPTS attempts.

        Raises FetchError or TooManyBytesError where the source is at fault, OSError where this machine's disk is.
        """
        for attempt in range(1, NUM_ATTEMPTS):
            try:
                return await self._download_once(url, path)
            except TransientError:
                # Drawn from the URL, so that clips which fail together are not retried together.
                await asyncio.sleep(pause_s(attempt, uniform(0, "backoff", url, attempt)))
        try:
            return await self._download_once(url, path)
        except TransientError as error:
            raise FetchError(f"{error}, {NUM_ATTEMPTS} times") from error

    async def _download_once(self, url: str, path: Path) -> str:
        digest = hashlib.sha256()
        with path.open("wb") as file:

            def write(chunk: bytes) -> None:
                digest.update(chunk)
                file.write(chunk)

            scheme = url.partition("://")[0].lower()
            if scheme in _WEB_SCHEMES:
                await self._client.download(url, write, self._max_bytes)
            elif is_object(url):
                await self._download_object(url, write)
            elif scheme == "file":
                raise FetchError(
                    "file:// is read only where the listing is on this machine too, and names no other host"
                )
            else:
                raise FetchError(f"{scheme}:// locations cannot be fetched")
        return digest.hexdigest()

    async def _download_object(self, url: str, write: Callable[[bytes], object]) -> None:
        async with self._limits.all_fetches:
            deadline_s = time.monotonic() + self._timeout_s
            await asyncio.to_thread(download_object, url, write, self._max_bytes, deadline_s)
