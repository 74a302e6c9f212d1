"""Who may ask a host now: so many at once, over all and for a host, so often a second, and not while it wants peace.

One event loop makes all requests of a run, so what is counted here holds over the whole run.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from curation.fetch.errors import FetchError
from curation.options import FetchOptions

MAX_PAUSE_S = 600.0
"""A host that wants to be left alone for longer is not waited for."""
REFUSAL_PAUSE_S = 5.0
"""Pause of a host that was asked too often and does not say how long to wait; it doubles while it goes on saying so."""
_MAX_REFUSAL_PAUSE_S = 120.0
SILENCE_PAUSE_S = 1.0
"""Pause of a host that has stopped answering; it doubles with each further request that gets no answer."""
_MAX_SILENCE_PAUSE_S = 120.0
_SILENCES_BEFORE_PAUSE = 8
_SILENCES_BEFORE_GIVING_UP = 20
"""About 12 minutes of pauses together: a network that fails for less costs no more than the clips under way."""


class Host:
    """One host, and when it may be asked."""

    def __init__(self, name: str, options: FetchOptions, everywhere: asyncio.Semaphore) -> None:
        self._name = name
        self._interval_s = 1 / options.rate_per_host if options.rate_per_host else 0.0
        self._slots = asyncio.Semaphore(options.fetches_per_host)
        self._everywhere = everywhere
        self._open_at_s = 0.0
        self._num_silences = 0
        self._refusal_pause_s = 0.0
        self._refusal_over_at_s = 0.0

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until a request may be made, and hold its place until the block ends. Raises FetchError to give up."""
        async with self._slots:
            await self._claim()
            try:
                yield
            finally:
                self._everywhere.release()

    async def _claim(self) -> None:
        # A wait for one thing may outlast the other, so both are looked at again until they hold together.
        while True:
            self._refuse_to_wait()
            if (wait_s := self._open_at_s - _now_s()) > 0:
                await asyncio.sleep(wait_s)
                continue
            await self._everywhere.acquire()
            if self._open_at_s <= _now_s():
                self._open_at_s = _now_s() + self._interval_s
                return
            self._everywhere.release()

    def _refuse_to_wait(self) -> None:
        if self._num_silences >= _SILENCES_BEFORE_GIVING_UP:
            raise FetchError(f"{self._name} had stopped answering; it was not asked any more")
        if self._open_at_s - _now_s() > MAX_PAUSE_S:
            raise FetchError(f"{self._name} asked to be left alone for more than {MAX_PAUSE_S:.0f} s")

    def pause(self, seconds: float) -> None:
        """Ask nothing for so long."""
        self._open_at_s = max(self._open_at_s, _now_s() + seconds)

    def answered(self) -> None:
        """Note that the host is there."""
        self._num_silences = 0

    def served(self) -> None:
        """Note that the host gave what it has, if only the word that it has nothing."""
        self._refusal_pause_s = 0.0

    def refused(self) -> None:
        """Note that the host was asked too often. Requests that were under way together are refused together, once."""
        if _now_s() >= self._refusal_over_at_s:
            self._refusal_pause_s = min(max(2 * self._refusal_pause_s, REFUSAL_PAUSE_S), _MAX_REFUSAL_PAUSE_S)
            self._refusal_over_at_s = _now_s() + self._refusal_pause_s
        self.pause(self._refusal_over_at_s - _now_s())

    def silent(self) -> None:
        """Note a request without an answer; a host that gives none at all gets longer and longer pauses."""
        self._num_silences += 1
        if (excess := self._num_silences - _SILENCES_BEFORE_PAUSE) >= 0:
            self.pause(min(SILENCE_PAUSE_S * 2**excess, _MAX_SILENCE_PAUSE_S))


class Hosts:
    """All hosts of a run, by name; ports of one host are one host."""

    def __init__(self, options: FetchOptions) -> None:
        self._options = options
        self.everywhere = asyncio.Semaphore(options.max_fetches)
        """Places for fetches under way, of all hosts together."""
        self._hosts: dict[str, Host] = {}

    def __getitem__(self, name: str) -> Host:
        """Give a host, new or known."""
        if name not in self._hosts:
            self._hosts[name] = Host(name, self._options, self.everywhere)
        return self._hosts[name]


def _now_s() -> float:
    return asyncio.get_running_loop().time()
