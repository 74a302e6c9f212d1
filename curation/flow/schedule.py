"""Clips -> parts of the flow table, and the work for each: decided by the clips alone, so workers cannot change it.

A clip's cost goes with its pairs, so with the square of its frames: 1,800 times from the shortest of TGIF to the
longest. A giant has a part of its own and is measured in slices of its source frames; all others are dealt into parts
by their keys, so that a row more in the listing changes one part and no other.
"""

from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.decode.probe import ProbedClip
from curation.decode.probe_results import ClipSizes
from curation.seeds import hash64

_PAIR_US = 35
_FRAME_US = 200
_PIXELS_PER_US = 200
"""Measured on real GIFs, one core: benchmarks/2026-11-20-curation.md. Only their proportions count."""
_PARTS_WANTED = 64
_PART_US = (30_000, 4_000_000)
"""Bounds of a part's mean cost: a small listing still spreads over workers, and a part that is lost costs little."""
_SLICE_US = 2_000_000
_SLICE_TO_DECODING = 4
"""Each slice decodes the whole clip anew; so much more measuring than decoding must be in it."""

Group = NDArray[np.int64]
"""Some clips, by their numbers."""


def estimate_us(clips: ClipSizes) -> NDArray[np.int64]:
    """Estimate what measuring each clip takes, in microseconds of a core."""
    decoding_us: NDArray[np.int64] = _decoding_us(clips.num_frames, clips.num_pixels)
    return _PAIR_US * clips.num_pairs + decoding_us


def _decoding_us(num_frames: Any, num_pixels: Any) -> Any:
    """Estimate what decoding and resizing all frames takes, in microseconds of a core, of one clip or of each."""
    return num_frames * (_FRAME_US + num_pixels // _PIXELS_PER_US)


def group_clips(clips: ClipSizes) -> list[Group]:
    """Deal clips into groups, each to become one part, the costliest first; in a group they are ordered by key.

    The number of groups is a power of two, so that a listing that grows splits groups rather than mixing them. What
    takes longest is begun first, and what is last is short.
    """
    clips = clips.take(pc.sort_indices(clips.keys).to_numpy().astype(np.int64))
    cost_us = estimate_us(clips)
    is_giant = _count_slices(clips.num_frames, clips.num_pixels) > 1
    total_us = int(cost_us[~is_giant].sum())
    least, most = _PART_US
    wanted = -(-total_us // min(most, max(least, total_us // _PARTS_WANTED)))
    num_groups = 1 << max(0, wanted - 1).bit_length()
    drawn = np.array([hash64(0, "part", key.as_py()) % num_groups for key in clips.keys], dtype=np.int64)
    # Each giant has a group of its own, behind all others.
    drawn[is_giant] = num_groups + np.arange(is_giant.sum())
    order = np.argsort(drawn, kind="stable")
    starts = np.flatnonzero(np.diff(drawn[order], prepend=-1))
    costs = np.add.reduceat(cost_us[order], starts) if len(starts) else starts
    # Of equal cost, those with the lesser first key.
    costliest_first = np.lexsort([order[starts], -costs])
    groups = np.split(clips.numbers[order], starts[1:])
    return [groups[place] for place in costliest_first.tolist()]


def slice_sources(clip: ProbedClip) -> list[range]:
    """Cut a clip's source frames into slices of about equally many pairs; one slice for all but giants."""
    frames, pairs = clip.num_frames or 0, clip.num_pairs
    num_slices = int(_count_slices(frames, (clip.width or 0) * (clip.height or 0)))
    cuts, taken = [0], 0
    for source in range(frames):
        taken += frames - 1 - source
        if taken * num_slices >= pairs * len(cuts) and len(cuts) < num_slices:
            cuts.append(source + 1)
    return [range(start, stop) for start, stop in zip(cuts, [*cuts[1:], frames], strict=True)]


def _count_slices(num_frames: Any, num_pixels: Any) -> Any:
    """Tell into how many slices a clip is cut, or each clip."""
    slice_us = np.maximum(_SLICE_US, _SLICE_TO_DECODING * _decoding_us(num_frames, num_pixels))
    num_pairs = num_frames * (num_frames - 1) // 2
    return np.maximum(1, -(-_PAIR_US * num_pairs // slice_us))
