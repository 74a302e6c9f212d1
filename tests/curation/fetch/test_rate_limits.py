"""Rate limits: concurrency, requests per second, pauses, and giving up.

The tests assert only that waits are long enough: a busy machine makes them longer, never shorter.
"""

import asyncio
import itertools

import pytest

from curation.fetch import rate_limits
from curation.fetch.errors import FetchError
from curation.fetch.rate_limits import RateLimits
from curation.options import FetchOptions


async def make_requests(
    limits: RateLimits, names: list[str], hold_s: float = 0.0
) -> tuple[list[float], int, dict[str, int]]:
    """Return the start times, and the most concurrent requests in total and per host."""
    times_s: list[float] = []
    running: list[str] = []
    peak, peak_by_host = 0, dict.fromkeys(names, 0)

    async def one(name: str) -> None:
        nonlocal peak
        async with limits.host(name).request_slot():
            times_s.append(asyncio.get_running_loop().time())
            running.append(name)
            peak = max(peak, len(running))
            peak_by_host[name] = max(peak_by_host[name], running.count(name))
            await asyncio.sleep(hold_s)
            running.remove(name)

    await asyncio.gather(*map(one, names))
    return times_s, peak, peak_by_host


def test_concurrency_is_limited_in_total_and_per_host() -> None:
    options = FetchOptions(max_fetches=5, fetches_per_host=3, rate_per_host=0)

    async def run() -> tuple[list[float], int, dict[str, int]]:
        return await make_requests(RateLimits(options), ["a", "b", "c", "d"] * 20, hold_s=0.002)

    times_s, peak, peak_by_host = asyncio.run(run())
    assert (len(times_s), peak) == (80, 5)
    assert max(peak_by_host.values()) <= 3


def test_requests_to_a_host_are_spaced() -> None:
    options = FetchOptions(rate_per_host=200)

    async def run() -> list[float]:
        return (await make_requests(RateLimits(options), ["a"] * 30))[0]

    times_s = asyncio.run(run())
    distances_s = [after - before for before, after in itertools.pairwise(times_s)]
    assert min(distances_s) >= 1 / 200 - 1e-6


def test_pause_of_a_host_does_not_delay_others() -> None:
    async def run() -> dict[str, float]:
        limits = RateLimits(FetchOptions(max_fetches=1))
        start_s = asyncio.get_running_loop().time()
        limits.host("a").pause(0.1)
        began: dict[str, float] = {}

        async def one(name: str) -> None:
            async with limits.host(name).request_slot():
                began[name] = asyncio.get_running_loop().time() - start_s

        await asyncio.gather(one("a"), one("b"))
        return began

    began = asyncio.run(run())
    assert began["a"] >= 0.1
    assert list(began) == ["b", "a"]


def test_too_long_pause_fails_at_once() -> None:
    async def run() -> None:
        host = RateLimits(FetchOptions()).host("a.example")
        host.pause(rate_limits.MAX_PAUSE_S + 1)
        async with host.request_slot():
            pytest.fail("a request was allowed")

    with pytest.raises(FetchError, match=r"a\.example asked for a pause of more than 600 s"):
        asyncio.run(run())


def test_host_that_never_responds_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "NO_RESPONSE_PAUSE_S", 0.0)

    num_requests = 0

    async def run() -> None:
        nonlocal num_requests
        host = RateLimits(FetchOptions(rate_per_host=0)).host("a.example")
        for _ in range(100):
            async with host.request_slot():
                num_requests += 1
                host.record_no_response()

    with pytest.raises(FetchError, match=r"a\.example stopped responding"):
        asyncio.run(run())
    assert num_requests == 20


def test_host_that_sometimes_responds_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "NO_RESPONSE_PAUSE_S", 0.0)

    async def run() -> None:
        host = RateLimits(FetchOptions(rate_per_host=0)).host("a.example")
        for number in range(200):
            async with host.request_slot():
                (host.record_no_response if number % 19 else host.record_response)()

    asyncio.run(run())


def test_concurrent_refusals_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "REFUSAL_PAUSE_S", 0.05)

    async def run() -> float:
        host = RateLimits(FetchOptions()).host("a.example")
        start_s = asyncio.get_running_loop().time()
        for _ in range(12):
            host.record_refusal()
        async with host.request_slot():
            return asyncio.get_running_loop().time() - start_s

    assert 0.05 <= asyncio.run(run()) < 60, "twelve doublings would be minutes"
