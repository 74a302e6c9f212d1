"""Chores are done while something is waited for, no longer, and none that was asked for is lost."""

import functools
import threading

import pytest

from curation.meanwhile import doing_meanwhile


def test_chores_are_done_in_order_for_as_long_as_the_block_lasts() -> None:
    done: list[int] = []
    third = threading.Event()

    def chore(number: int) -> None:
        done.append(number)
        if number == 2:
            third.set()
            left.wait()

    left = threading.Event()
    waiting = (functools.partial(chore, number) for number in range(10))
    with doing_meanwhile(waiting):
        assert third.wait(10)
        threading.Timer(0.2, left.set).start()  # After the block has ended: what was begun is brought to its end.
    assert done == [0, 1, 2]
    for call in waiting:  # Nothing was asked for and not done.
        call()
    assert done == list(range(10))


def test_a_block_may_outlast_its_chores() -> None:
    done = threading.Event()
    with doing_meanwhile([done.set]):
        assert done.wait(10)


def test_what_a_chore_raises_ends_the_others_and_is_raised_after_the_block() -> None:
    others: list[int] = []
    reached = []

    def fail() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"), doing_meanwhile([fail, functools.partial(others.append, 1)]):
        reached.append(1)
    assert reached == [1]
    assert others == []


def test_what_the_block_raises_is_raised() -> None:
    with pytest.raises(KeyError), doing_meanwhile([lambda: None]):
        raise KeyError
