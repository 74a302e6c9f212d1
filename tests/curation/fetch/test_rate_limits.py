"""Turns are given so many at once, so often a second, and not while a host wants peace.

Nothing here waits for longer than the least that is asserted: a busy machine makes waits longer, never shorter.
"""

import asyncio
import itertools

import pytest

from curation.fetch import rate_limits as turns
from curation.fetch.errors import FetchError
from curation.fetch.rate_limits import Hosts
from curation.options import FetchOptions


async def take_turns(hosts: Hosts, names: list[str], hold_s: float = 0.0) -> tuple[list[float], int, dict[str, int]]:
    """Start times, and how many held a turn at once: over all, and of each host."""
    times_s: list[float] = []
    held: list[str] = []
    most, most_of = 0, dict.fromkeys(names, 0)

    async def one(name: str) -> None:
        nonlocal most
        async with hosts[name].turn():
            times_s.append(asyncio.get_running_loop().time())
            held.append(name)
            most = max(most, len(held))
            most_of[name] = max(most_of[name], held.count(name))
            await asyncio.sleep(hold_s)
            held.remove(name)

    await asyncio.gather(*map(one, names))
    return times_s, most, most_of


def test_no_more_are_under_way_than_allowed_over_all_and_for_a_host() -> None:
    options = FetchOptions(max_fetches=5, fetches_per_host=3, rate_per_host=0)

    async def run() -> tuple[list[float], int, dict[str, int]]:
        return await take_turns(Hosts(options), ["a", "b", "c", "d"] * 20, hold_s=0.002)

    times_s, most, most_of = asyncio.run(run())
    assert (len(times_s), most) == (80, 5)
    assert max(most_of.values()) <= 3


def test_requests_to_a_host_keep_their_distance_and_other_hosts_are_not_held_up() -> None:
    options = FetchOptions(rate_per_host=200)

    async def run() -> list[float]:
        return (await take_turns(Hosts(options), ["a"] * 30))[0]

    times_s = asyncio.run(run())
    distances_s = [after - before for before, after in itertools.pairwise(times_s)]
    assert min(distances_s) >= 1 / 200 - 1e-6


def test_a_host_in_pause_is_not_asked_and_others_are() -> None:
    async def run() -> dict[str, float]:
        hosts = Hosts(FetchOptions(max_fetches=1))
        start_s = asyncio.get_running_loop().time()
        hosts["a"].pause(0.1)
        began: dict[str, float] = {}

        async def one(name: str) -> None:
            async with hosts[name].turn():
                began[name] = asyncio.get_running_loop().time() - start_s

        await asyncio.gather(one("a"), one("b"))
        return began

    began = asyncio.run(run())
    assert began["a"] >= 0.1
    assert list(began) == ["b", "a"]


def test_a_pause_that_is_too_long_is_not_waited_for() -> None:
    async def run() -> None:
        host = Hosts(FetchOptions())["a.example"]
        host.pause(turns.MAX_PAUSE_S + 1)
        async with host.turn():
            pytest.fail("it was asked")

    with pytest.raises(FetchError, match=r"a\.example asked to be left alone for more than 600 s"):
        asyncio.run(run())


def test_a_host_that_answers_nothing_gets_pauses_and_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SILENCE_PAUSE_S", 0.0)

    num_asked = 0

    async def run() -> None:
        nonlocal num_asked
        host = Hosts(FetchOptions(rate_per_host=0))["a.example"]
        for _ in range(100):
            async with host.turn():
                num_asked += 1
                host.silent()

    with pytest.raises(FetchError, match=r"a\.example had stopped answering"):
        asyncio.run(run())
    assert num_asked == 20


def test_a_host_that_answers_now_and_then_is_never_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SILENCE_PAUSE_S", 0.0)

    async def run() -> None:
        host = Hosts(FetchOptions(rate_per_host=0))["a.example"]
        for number in range(200):
            async with host.turn():
                (host.silent if number % 19 else host.answered)()

    asyncio.run(run())


def test_requests_that_are_refused_together_are_one_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "REFUSAL_PAUSE_S", 0.05)

    async def run() -> float:
        host = Hosts(FetchOptions())["a.example"]
        start_s = asyncio.get_running_loop().time()
        for _ in range(12):
            host.refused()
        async with host.turn():
            return asyncio.get_running_loop().time() - start_s

    assert 0.05 <= asyncio.run(run()) < 60, "twelve doublings would be minutes"
