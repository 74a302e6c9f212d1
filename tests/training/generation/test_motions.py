import pytest

from training.generation.errors import GenerationError
from training.generation.motions import order_frames, parse_motion, ramp_motion, spread_motion


def test_motion_is_a_list_of_numbers():
    assert parse_motion("2, 4,6.5") == (2, 4, 6.5)
    with pytest.raises(GenerationError, match="not a list of numbers"):
        parse_motion("2,,4")


def test_ramp_rises_evenly_over_the_trained_range():
    assert ramp_motion(4) == (2, 8, 14, 20)
    assert ramp_motion(1) == (11,)
    assert ramp_motion(16) == tuple(sorted(set(ramp_motion(16))))


def test_spread_motion_may_fall():
    assert spread_motion(19, 2, 3) == (19, 10, 2)
    assert spread_motion(2, 19, 1) == (19,)


def test_boomerang_repeats_neither_end():
    assert order_frames("abcd", "boomerang") == list("abcdcb")
    assert order_frames("ab", "boomerang") == list("ab")
    assert order_frames("a", "boomerang") == ["a"]
