"""The robots.txt of each host (RFC 9309), read once in a run."""

import asyncio
import collections
from collections.abc import Awaitable, Callable

from protego import Protego
from yarl import URL

from curation.fetch.errors import FetchError, OptedOutError, StatusError, TransientError
from curation.fetch.opt_outs import AGENT

MAX_BYTES = 500 * 2**10
"""The rest of a longer file is ignored."""

Read = Callable[[URL, Callable[[bytes], object]], Awaitable[object]]
"""Passes the bytes of a URL to a function in chunks."""


class _EnoughError(Exception):
    """MAX_BYTES were read."""


class RobotsFiles:
    """The robots.txt of all hosts of a run."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._files: dict[URL, Protego] = {}
        self._locks: collections.defaultdict[URL, asyncio.Lock] = collections.defaultdict(asyncio.Lock)

    async def check(self, url: URL) -> None:
        """Raise OptedOutError if robots.txt disallows the URL.

        A host without the file allows everything. One whose file cannot be read now allows nothing: that raises
        TransientError, or another FetchError where a retry cannot succeed.
        """
        origin = url.origin()
        async with self._locks[origin]:
            if origin not in self._files:
                self._files[origin] = await self._fetch(origin)
        if not self._files[origin].can_fetch(str(url), AGENT):
            raise OptedOutError(f"robots.txt of {url.host} disallows it")

    async def _fetch(self, origin: URL) -> Protego:
        text = bytearray()

        def write(chunk: bytes) -> None:
            text.extend(chunk)
            if len(text) >= MAX_BYTES:
                raise _EnoughError

        try:
            await self._read(origin / "robots.txt", write)
        except _EnoughError:
            del text[MAX_BYTES:]
        except StatusError:
            text.clear()
        except TransientError as error:
            raise TransientError(f"robots.txt of {origin.host}: {error}") from error
        except FetchError as error:
            raise FetchError(f"robots.txt of {origin.host}: {error}") from error
        return Protego.parse(text.decode("utf-8", "replace"))
