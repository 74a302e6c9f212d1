"""Clips -> groups, one per flow part, and slices of long clips.

The grouping depends only on the clips, not on workers, so that every run writes the same parts. The cost of a clip
grows with its number of pairs, the square of its frame count: in TGIF, the longest clip costs 1,800 times the shortest.
A long clip gets a part of its own and is measured in slices of its source frames. The others are assigned to parts by
a hash of their keys, so that an additional listing row changes only one part.
"""

from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.decode.probe import ProbedClip
from curation.decode.probe_results import ClipSizes
from shards.seeded_hash import hash64

_PAIR_US = 35
_FRAME_US = 200
_PIXELS_PER_US = 200
"""Measured on real GIFs, one core: benchmarks/curation.md. Only the ratios matter."""
_TARGET_NUM_PARTS = 64
_PART_US = (30_000, 4_000_000)
"""Limits on the mean cost of a part. Small ones spread a small listing over the workers; large ones are costly to lose
with a worker."""
_SLICE_US = 2_000_000
_MIN_MEASURING_TO_DECODING = 4
"""Least ratio of measuring to decoding in a slice, because each slice decodes the whole clip again."""

Group = NDArray[np.int64]
"""Numbers of the clips of one part, int64 [N]."""


def estimate_us(clips: ClipSizes) -> NDArray[np.int64]:
    """Estimate the time to measure each clip, int64 [N], in microseconds on one core."""
    decoding_us: NDArray[np.int64] = _estimate_decoding_us(clips.num_frames, clips.num_pixels)
    return _PAIR_US * clips.num_pairs + decoding_us


def _estimate_decoding_us(num_frames: Any, num_pixels: Any) -> Any:
    """Estimate the time to decode and resize all frames, in microseconds on one core. Scalars or arrays [N]."""
    return num_frames * (_FRAME_US + num_pixels // _PIXELS_PER_US)


def group_clips(clips: ClipSizes) -> list[Group]:
    """Group clips into parts, most expensive first, each ordered by key.

    The number of groups is a power of two, so that a growing listing splits groups instead of mixing them. Starting
    with the most expensive group keeps the end of the stage short.
    """
    clips = clips.take(pc.sort_indices(clips.keys).to_numpy().astype(np.int64))
    cost_us = estimate_us(clips)
    is_long = _count_slices(clips.num_frames, clips.num_pixels) > 1
    total_us = int(cost_us[~is_long].sum())
    least_us, most_us = _PART_US
    min_groups = -(-total_us // min(most_us, max(least_us, total_us // _TARGET_NUM_PARTS)))
    num_groups = 1 << max(0, min_groups - 1).bit_length()
    assigned = np.array([hash64(0, "part", key.as_py()) % num_groups for key in clips.keys], dtype=np.int64)
    assigned[is_long] = num_groups + np.arange(is_long.sum())
    order = np.argsort(assigned, kind="stable")
    starts = np.flatnonzero(np.diff(assigned[order], prepend=-1))
    costs = np.add.reduceat(cost_us[order], starts) if len(starts) else starts
    # Ties are ordered by the group's first key.
    most_expensive_first = np.lexsort([order[starts], -costs])
    groups = np.split(clips.numbers[order], starts[1:])
    return [groups[index] for index in most_expensive_first.tolist()]


def slice_sources(clip: ProbedClip) -> list[range]:
    """Split a clip's source frames into slices of about equal numbers of pairs; one slice unless the clip is long."""
    num_frames, num_pairs = clip.num_frames or 0, clip.num_pairs
    num_slices = int(_count_slices(num_frames, (clip.width or 0) * (clip.height or 0)))
    cuts, num_pairs_before = [0], 0
    for source in range(num_frames):
        num_pairs_before += num_frames - 1 - source
        if num_pairs_before * num_slices >= num_pairs * len(cuts) and len(cuts) < num_slices:
            cuts.append(source + 1)
    return [range(start, stop) for start, stop in zip(cuts, [*cuts[1:], num_frames], strict=True)]


def _count_slices(num_frames: Any, num_pixels: Any) -> Any:
    """Return the number of slices of a clip, or of each clip, [N]."""
    decoding_us = _estimate_decoding_us(num_frames, num_pixels)
    slice_us = np.maximum(_SLICE_US, _MIN_MEASURING_TO_DECODING * decoding_us)
    num_pairs = num_frames * (num_frames - 1) // 2
    return np.maximum(1, -(-_PAIR_US * num_pairs // slice_us))
