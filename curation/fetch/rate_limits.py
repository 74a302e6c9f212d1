"""Rate limits: concurrent requests in total and per host, requests per second, Retry-After, and hosts that are down.

One event loop makes all requests of a run, so the limits hold over the whole run.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from curation.fetch.errors import FetchError
from curation.options import FetchOptions

MAX_PAUSE_S = 600.0
"""Longest Retry-After that is obeyed; the clips of a host that asks for more fail."""
REFUSAL_PAUSE_S = 5.0
"""Pause after a 429 without Retry-After; it doubles with each further one."""
_MAX_REFUSAL_PAUSE_S = 120.0
NO_RESPONSE_PAUSE_S = 1.0
"""First pause of a host that does not respond; it doubles with each further request without a response."""
_MAX_NO_RESPONSE_PAUSE_S = 120.0
_NO_RESPONSES_BEFORE_PAUSE = 8
_NO_RESPONSES_BEFORE_GIVING_UP = 20
"""About 12 minutes of pauses in total; a shorter network failure costs only the clips being fetched."""


class HostLimits:
    """The limits of one host."""

    def __init__(self, name: str, options: FetchOptions, all_fetches: asyncio.Semaphore) -> None:
        self._name = name
        self._interval_s = 1 / options.rate_per_host if options.rate_per_host else 0.0
        self._slots = asyncio.Semaphore(options.fetches_per_host)
        self._all_fetches = all_fetches
        self._next_request_at_s = 0.0
        self._num_no_responses = 0
        self._refusal_pause_s = 0.0
        self._refused_until_s = 0.0

    @contextlib.asynccontextmanager
    async def request_slot(self) -> AsyncIterator[None]:
        """Wait until a request is allowed and count it as running for the block.

        Raises FetchError where the host is given up.
        """
        async with self._slots:
            await self._acquire()
            try:
                yield
            finally:
                self._all_fetches.release()

    async def _acquire(self) -> None:
        # While waiting for one limit the other may be reached again, so both are checked until both allow it.
        while True:
            self._check_not_given_up()
            if (wait_s := self._next_request_at_s - _now_s()) > 0:
                await asyncio.sleep(wait_s)
                continue
            await self._all_fetches.acquire()
            if self._next_request_at_s <= _now_s():
                self._next_request_at_s = _now_s() + self._interval_s
                return
            self._all_fetches.release()

    def _check_not_given_up(self) -> None:
        if self._num_no_responses >= _NO_RESPONSES_BEFORE_GIVING_UP:
            raise FetchError(f"{self._name} stopped responding; no further requests were sent")
        if self._next_request_at_s - _now_s() > MAX_PAUSE_S:
            raise FetchError(f"{self._name} asked for a pause of more than {MAX_PAUSE_S:.0f} s")

    def pause(self, seconds: float) -> None:
        """Pause all requests to the host for this many seconds."""
        self._next_request_at_s = max(self._next_request_at_s, _now_s() + seconds)

    def record_response(self) -> None:
        """Record that the host responded, with any status."""
        self._num_no_responses = 0

    def record_success(self) -> None:
        """Record a response that is no refusal: it ends the doubling of pauses after 429."""
        self._refusal_pause_s = 0.0

    def record_refusal(self) -> None:
        """Record a 429 without Retry-After. Those of requests that ran at the same time count once."""
        if _now_s() >= self._refused_until_s:
            self._refusal_pause_s = min(max(2 * self._refusal_pause_s, REFUSAL_PAUSE_S), _MAX_REFUSAL_PAUSE_S)
            self._refused_until_s = _now_s() + self._refusal_pause_s
        self.pause(self._refused_until_s - _now_s())

    def record_no_response(self) -> None:
        """Record a request without a response; after several in a row, pauses grow until the host is given up."""
        self._num_no_responses += 1
        if (excess := self._num_no_responses - _NO_RESPONSES_BEFORE_PAUSE) >= 0:
            self.pause(min(NO_RESPONSE_PAUSE_S * 2**excess, _MAX_NO_RESPONSE_PAUSE_S))


class RateLimits:
    """The limits of all hosts of a run. The ports of a host count as one host."""

    def __init__(self, options: FetchOptions) -> None:
        self._options = options
        self.all_fetches = asyncio.Semaphore(options.max_fetches)
        """Limits the concurrent fetches of all hosts together."""
        self._hosts: dict[str, HostLimits] = {}

    def host(self, name: str) -> HostLimits:
        """Return the limits of a host."""
        if name not in self._hosts:
            self._hosts[name] = HostLimits(name, self._options, self.all_fetches)
        return self._hosts[name]


def _now_s() -> float:
    return asyncio.get_running_loop().time()
