"""A URL or an object -> a file on disk and its SHA-256. Web requests are retried (shards.storage.retry)."""

import asyncio
import dataclasses
import hashlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from curation.fetch.errors import FetchError, TransientError
from curation.fetch.http import HttpClient
from curation.fetch.opt_outs import OptOutRules
from curation.fetch.rate_limits import RateLimits
from curation.fetch.read import download_object
from curation.options import FetchOptions
from shards.seeded_hash import uniform
from shards.storage.object_stores import is_object
from shards.storage.retry import NUM_ATTEMPTS, pause_s

_WEB_SCHEMES = ("http", "https")
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Downloaded:
    """A file that was downloaded."""

    sha256: str
    opt_out: str | None = None
    """How its owner opts out, if the rules ignore that."""


class Downloads:
    """Downloads within the limits of a run. Bound to one event loop."""

    def __init__(
        self,
        client: HttpClient,
        limits: RateLimits,
        options: FetchOptions,
        max_bytes: int,
        rules: OptOutRules,
    ) -> None:
        self._client = client
        self._limits = limits
        self._timeout_s = options.fetch_timeout
        self._max_bytes = max_bytes
        self.rules = rules

    async def download(self, url: str, path: Path) -> Downloaded:
        """Write the bytes of a URL to a file and return their SHA-256, with up to NUM_ATTEMPTS attempts.

        Raises FetchError, TooManyBytesError or OptedOutError where the source is at fault, OSError where this machine's
        disk is.
        """
        return await _retry(url, lambda: self._download_once(url, path))

    async def check_robots(self, url: str) -> None:
        """Raise OptedOutError if the rules ask the robots.txt of a URL's host, and it disallows the URL.

        Raises FetchError if that file cannot be read.
        """
        if self.rules.robots and _scheme_of(url) in _WEB_SCHEMES:
            await _retry(url, lambda: self._client.check_robots(url))

    async def _download_once(self, url: str, path: Path) -> Downloaded:
        digest = hashlib.sha256()
        opt_out = None
        with path.open("wb") as file:

            def write(chunk: bytes) -> None:
                digest.update(chunk)
                file.write(chunk)

            scheme = _scheme_of(url)
            if scheme in _WEB_SCHEMES:
                opt_out = await self._client.download(url, write, self._max_bytes, self.rules)
            elif is_object(url):
                await self._download_object(url, write)
            elif scheme == "file":
                raise FetchError(
                    "file:// is read only where the listing is on this machine too, and names no other host"
                )
            else:
                raise FetchError(f"{scheme}:// locations cannot be fetched")
        return Downloaded(sha256=digest.hexdigest(), opt_out=opt_out)

    async def _download_object(self, url: str, write: Callable[[bytes], object]) -> None:
        async with self._limits.all_fetches:
            deadline_s = time.monotonic() + self._timeout_s
            await asyncio.to_thread(download_object, url, write, self._max_bytes, deadline_s)


async def _retry(url: str, function: Callable[[], Awaitable[Result]]) -> Result:
    """Call a function until it raises no TransientError, NUM_ATTEMPTS times at most; then raise FetchError."""
    for attempt in range(1, NUM_ATTEMPTS):
        try:
            return await function()
        except TransientError:
            # Drawn from the URL, so that clips which fail together are not retried together.
            await asyncio.sleep(pause_s(attempt, uniform(0, "backoff", url, attempt)))
    try:
        return await function()
    except TransientError as error:
        raise FetchError(f"{error}, {NUM_ATTEMPTS} times") from error


def _scheme_of(url: str) -> str:
    return url.partition("://")[0].lower()
