"""Parts and slices are decided by the clips alone: every pair once, giants in slices, the longest first."""

import numpy as np
import pyarrow as pa
import pytest

from curation.decode.probe import ProbedClip
from curation.decode.probe_results import ClipSizes
from curation.flow.schedule import estimate_us, group_clips, slice_sources


def make_clip(number: int, num_frames: int) -> ProbedClip:
    """A clip that was looked at."""
    return ProbedClip(clip_key=f"clip-{number:05d}", width=200, height=150, num_frames=num_frames)


CLIPS = [make_clip(number, 14 + number % 90) for number in range(2000)]
GIANT = make_clip(5000, 572)


def sizes_of(clips):
    """Their sizes; a clip's number is that in its name."""
    return ClipSizes(
        numbers=np.array([int(clip.clip_key[-5:]) for clip in clips]),
        keys=pa.array([clip.clip_key for clip in clips]),
        num_frames=np.array([clip.num_frames for clip in clips]),
        num_pixels=np.array([clip.width * clip.height for clip in clips]),
    )


def group(clips):
    """The groups, as tuples of numbers."""
    return [tuple(group.tolist()) for group in group_clips(sizes_of(clips))]


def cost_of(clips, group):
    """What measuring a group takes."""
    by_number = {int(clip.clip_key[-5:]): clip for clip in clips}
    return int(estimate_us(sizes_of([by_number[number] for number in group])).sum())


def test_every_clip_is_in_one_group_whatever_the_order_they_come_in():
    groups = group([*CLIPS, GIANT])
    assert sorted(number for group in groups for number in group) == [*range(2000), 5000]
    assert all(list(group) == sorted(group) for group in groups)
    assert group([GIANT, *reversed(CLIPS)]) == groups


def test_no_clip_is_no_group():
    assert group_clips(sizes_of([GIANT]).take(np.array([], int))) == []


def test_a_giant_stands_alone_and_no_other_does():
    groups = group([*CLIPS, GIANT])
    assert (5000,) in groups
    costs = [cost_of(CLIPS, group) for group in groups if group != (5000,)]
    assert 32 <= len(costs) <= 128
    assert max(costs) < 3 * sum(costs) / len(costs)


def test_a_clip_more_changes_one_group_and_no_other():
    before, after = set(group(CLIPS)), set(group([*CLIPS, make_clip(9000, 40)]))
    assert (len(before - after), len(after - before)) == (1, 1)


@pytest.mark.parametrize("num_frames", [1, 2, 3, 41, 300, 571, 572, 1000, 3000])
def test_slices_hold_every_source_frame_once_and_about_as_many_pairs(num_frames):
    slices = slice_sources(make_clip(0, num_frames))
    assert [source for one in slices for source in one] == list(range(num_frames))
    pairs = [sum(num_frames - 1 - source for source in one) for one in slices]
    assert max(pairs) - min(pairs) <= 2 * num_frames
    assert (len(slices) > 1) == (num_frames >= 571)


def test_the_costliest_group_is_begun_first_and_the_cheapest_last():
    groups = group([*CLIPS, GIANT])
    costs = [cost_of([*CLIPS, GIANT], group) for group in groups]
    assert groups[0] == (5000,)
    assert costs == sorted(costs, reverse=True)
