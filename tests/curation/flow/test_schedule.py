"""Groups and slices depend on the clips alone: every pair once, long clips in slices, most expensive first."""

import numpy as np
import pyarrow as pa
import pytest

from curation.decode.probe import ProbedClip
from curation.decode.probe_results import ClipSizes
from curation.flow.schedule import estimate_us, group_clips, slice_sources


def make_clip(number: int, num_frames: int) -> ProbedClip:
    """Return a probed clip."""
    return ProbedClip(clip_key=f"clip-{number:05d}", width=200, height=150, num_frames=num_frames)


CLIPS = [make_clip(number, 14 + number % 90) for number in range(2000)]
LONG_CLIP = make_clip(5000, 572)


def sizes_of(clips):
    """Return the sizes of clips; a clip's number is the one in its key."""
    return ClipSizes(
        numbers=np.array([int(clip.clip_key[-5:]) for clip in clips]),
        keys=pa.array([clip.clip_key for clip in clips]),
        num_frames=np.array([clip.num_frames for clip in clips]),
        num_pixels=np.array([clip.width * clip.height for clip in clips]),
    )


def group(clips):
    """Group clips; return each group as a tuple of numbers."""
    return [tuple(group.tolist()) for group in group_clips(sizes_of(clips))]


def cost_of(clips, group):
    """Estimate the time to measure a group, in microseconds."""
    by_number = {int(clip.clip_key[-5:]): clip for clip in clips}
    return int(estimate_us(sizes_of([by_number[number] for number in group])).sum())


def test_every_clip_is_in_one_group_independent_of_their_order():
    groups = group([*CLIPS, LONG_CLIP])
    assert sorted(number for group in groups for number in group) == [*range(2000), 5000]
    assert all(list(group) == sorted(group) for group in groups)
    assert group([LONG_CLIP, *reversed(CLIPS)]) == groups


def test_no_clips_give_no_groups():
    assert group_clips(sizes_of([LONG_CLIP]).take(np.array([], int))) == []


def test_only_a_long_clip_has_a_group_of_its_own():
    groups = group([*CLIPS, LONG_CLIP])
    assert (5000,) in groups
    costs = [cost_of(CLIPS, group) for group in groups if group != (5000,)]
    assert 32 <= len(costs) <= 128
    assert max(costs) < 3 * sum(costs) / len(costs)


def test_additional_clip_changes_one_group():
    before, after = set(group(CLIPS)), set(group([*CLIPS, make_clip(9000, 40)]))
    assert (len(before - after), len(after - before)) == (1, 1)


@pytest.mark.parametrize("num_frames", [1, 2, 3, 41, 300, 571, 572, 1000, 3000])
def test_slices_cover_every_source_frame_with_similar_numbers_of_pairs(num_frames):
    slices = slice_sources(make_clip(0, num_frames))
    assert [source for sources in slices for source in sources] == list(range(num_frames))
    pairs = [sum(num_frames - 1 - source for source in sources) for sources in slices]
    assert max(pairs) - min(pairs) <= 2 * num_frames
    assert (len(slices) > 1) == (num_frames >= 571)


def test_groups_are_ordered_by_decreasing_cost():
    groups = group([*CLIPS, LONG_CLIP])
    costs = [cost_of([*CLIPS, LONG_CLIP], group) for group in groups]
    assert groups[0] == (5000,)
    assert costs == sorted(costs, reverse=True)
