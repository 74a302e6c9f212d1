import pytest

from training.generation.errors import GenerationError
from training.generation.motions import list_motion_notes, order_frames, parse_motion, ramp_motion, spread_motion
from training.model.config import TrainedOn


def test_motion_is_a_list_of_numbers():
    assert parse_motion("2, 4,6.5") == (2, 4, 6.5)
    with pytest.raises(GenerationError, match="not a list of numbers"):
        parse_motion("2,,4")


def test_ramp_rises_evenly_over_the_trained_range():
    paper = TrainedOn()
    assert ramp_motion(4, paper) == (2, 8, 13, 19)
    assert ramp_motion(1, paper) == (10,)
    assert ramp_motion(16, paper) == tuple(sorted(set(ramp_motion(16, paper))))
    assert ramp_motion(3, TrainedOn(min_motion=4, max_motion=8)) == (4, 6, 8)


def test_motion_that_training_never_shows_gives_a_note():
    assert list_motion_notes([2, 19.9], TrainedOn())[0].startswith("the motion 19.9 is truncated")
    assert list_motion_notes([20], TrainedOn())[0].startswith("the motion 20 is outside 2 to 19 pixels")
    assert list_motion_notes([9], TrainedOn(max_motion=8))[0].startswith("the motion 9 is outside 2 to 8 pixels")


def test_spread_motion_may_fall():
    assert spread_motion(19, 2, 3) == (19, 10, 2)
    assert spread_motion(2, 19, 1) == (19,)


def test_boomerang_repeats_neither_end():
    assert order_frames("abcd", "boomerang") == list("abcdcb")
    assert order_frames("ab", "boomerang") == list("ab")
    assert order_frames("a", "boomerang") == ["a"]
