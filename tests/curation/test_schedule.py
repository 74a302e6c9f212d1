"""Parts and slices are decided by the clips alone: every pair once, giants in slices, the longest first."""

import pytest

from curation.probe import ProbedClip
from curation.schedule import costliest_first, estimate_us, group_clips, slice_sources


def make_clip(number: int, num_frames: int) -> ProbedClip:
    """A clip that was looked at."""
    return ProbedClip(clip_key=f"clip-{number:05d}", width=200, height=150, num_frames=num_frames)


CLIPS = [make_clip(number, 14 + number % 90) for number in range(2000)]
GIANT = make_clip(5000, 572)


def test_every_clip_is_in_one_group_whatever_the_order_they_come_in():
    groups = group_clips([*CLIPS, GIANT])
    assert sorted(clip.clip_key for group in groups for clip in group) == [clip.clip_key for clip in [*CLIPS, GIANT]]
    assert set(group_clips([GIANT, *reversed(CLIPS)])) == set(groups)


def test_a_giant_stands_alone_and_no_other_does():
    groups = group_clips([*CLIPS, GIANT])
    assert (GIANT,) in groups
    costs = [sum(map(estimate_us, group)) for group in groups if group != (GIANT,)]
    assert 32 <= len(costs) <= 128
    assert max(costs) < 3 * sum(costs) / len(costs)


def test_a_clip_more_changes_one_group_and_no_other():
    before, after = set(group_clips(CLIPS)), set(group_clips([*CLIPS, make_clip(9000, 40)]))
    assert (len(before - after), len(after - before)) == (1, 1)


@pytest.mark.parametrize("num_frames", [1, 2, 3, 41, 300, 571, 572, 1000, 3000])
def test_slices_hold_every_source_frame_once_and_about_as_many_pairs(num_frames):
    slices = slice_sources(make_clip(0, num_frames))
    assert [source for one in slices for source in one] == list(range(num_frames))
    pairs = [sum(num_frames - 1 - source for source in one) for one in slices]
    assert max(pairs) - min(pairs) <= 2 * num_frames
    assert (len(slices) > 1) == (num_frames >= 571)


def test_the_costliest_group_is_begun_first_and_the_cheapest_last():
    groups = costliest_first(group_clips([*CLIPS, GIANT]))
    costs = [sum(map(estimate_us, group)) for group in groups]
    assert groups[0] == (GIANT,)
    assert costs == sorted(costs, reverse=True)
