"""Clips -> parts of the flow table, and the work for each: decided by the clips alone, so workers cannot change it.

A clip's cost goes with its pairs, so with the square of its frames: 1,800 times from the shortest of TGIF to the
longest. A giant has a part of its own and is measured in slices of its source frames; all others are dealt into parts
by their keys, so that a row more in the listing changes one part and no other.
"""

from collections.abc import Iterable, Sequence

from curation.probe import ProbedClip
from curation.ranking import hash64

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

Group = tuple[ProbedClip, ...]


def estimate_us(clip: ProbedClip) -> int:
    """Estimate what measuring a clip takes, in microseconds of a core."""
    return _PAIR_US * clip.num_pairs + estimate_decoding_us(clip)


def estimate_decoding_us(clip: ProbedClip) -> int:
    """Estimate what decoding and resizing all frames of a clip takes, in microseconds of a core."""
    pixels = (clip.width or 0) * (clip.height or 0)
    return (clip.num_frames or 0) * (_FRAME_US + pixels // _PIXELS_PER_US)


def group_clips(clips: Iterable[ProbedClip]) -> list[Group]:
    """Deal clips into groups, each to become one part; inside a group they are in the order of their keys.

    The number of groups is a power of two, so that a listing that grows splits groups rather than mixing them.
    """
    ordered = sorted(clips, key=lambda clip: clip.clip_key)
    groups: dict[int, list[ProbedClip]] = {}
    giants = [clip for clip in ordered if len(slice_sources(clip)) > 1]
    others = [clip for clip in ordered if len(slice_sources(clip)) == 1]
    total_us = sum(estimate_us(clip) for clip in others)
    least, most = _PART_US
    wanted = -(-total_us // min(most, max(least, total_us // _PARTS_WANTED)))
    num_groups = 1 << max(0, wanted - 1).bit_length()
    for clip in others:
        groups.setdefault(hash64(0, "part", clip.clip_key) % num_groups, []).append(clip)
    return [(clip,) for clip in giants] + [tuple(group) for group in groups.values()]


def slice_sources(clip: ProbedClip) -> list[range]:
    """Cut a clip's source frames into slices of about equally many pairs; one slice for all but giants."""
    frames, pairs = clip.num_frames or 0, clip.num_pairs
    slice_us = max(_SLICE_US, _SLICE_TO_DECODING * estimate_decoding_us(clip))
    num_slices = max(1, -(-_PAIR_US * pairs // slice_us))
    cuts, taken = [0], 0
    for source in range(frames):
        taken += frames - 1 - source
        if taken * num_slices >= pairs * len(cuts) and len(cuts) < num_slices:
            cuts.append(source + 1)
    return [range(start, stop) for start, stop in zip(cuts, [*cuts[1:], frames], strict=True)]


def costliest_first(groups: Sequence[Group]) -> list[Group]:
    """Order groups so that what takes longest is begun first, and what is last is short."""
    return sorted(groups, key=lambda group: (-sum(map(estimate_us, group)), group[0].clip_key))
