"""The search for near copies among very many clips: the same as in `copies.py`, compiled, and in little memory.

Hashes are dealt into buckets by two of their bands, and each is compared with those that follow it in its bucket. What
is near by one frame is looked at whole at once, as a million clips have tens of millions of frames near each other by
chance alone.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.compiled import compile_entry, compile_part
from curation.copies import BANDS, MOST_IN_A_BUCKET
from curation.signatures import Signature, Signatures

Places = NDArray[np.int32]
_FOUND_AT_A_TIME = 1 << 17
_PASSES = 4
"""Buckets are looked at in so many parts: what is ordered by them then takes a quarter of the memory."""


def list_candidates(
    signatures: Signatures, max_distance: int, slack: int, groups: NDArray[np.integer]
) -> Iterator[tuple[int, int]]:
    """Yield pairs of clips of different groups that may be near copies, the lower first; one may come several times."""
    hashes, starts, num_frames = signatures.hashes, signatures.starts, signatures.num_frames
    owners = np.empty(len(hashes), dtype=np.int32)
    kinds = np.zeros(len(hashes), dtype=np.uint8)
    _look_over(hashes, starts, num_frames, owners, kinds)
    found = np.empty((_FOUND_AT_A_TIME, 2), dtype=np.int32)
    state = np.zeros(2, dtype=np.int64)
    for bands, part in itertools.product(itertools.combinations(BANDS, 2), range(_PASSES)):
        layout = np.array(bands, dtype=np.uint64)
        num_buckets = (1 << sum(width for _, width in bands)) // _PASSES
        first_bucket = part * num_buckets
        ends = np.zeros(num_buckets + 1, dtype=np.int32)
        _count(hashes, starts, num_frames, kinds, layout, first_bucket, ends)
        order = np.empty(ends[-1], dtype=np.int32)
        _deal(hashes, starts, num_frames, kinds, layout, first_bucket, ends, order)
        state[:] = 0
        while state[0] < len(order):
            _scan(
                hashes, starts, num_frames, owners, order, layout, groups.astype(np.int32),
                max_distance, max_distance + slack, MOST_IN_A_BUCKET, found, state,
            )  # fmt: skip
            yield from zip(*np.unique(found[: state[1]], axis=0).T.tolist(), strict=True)


@compile_part
def _count_bits(word: Any) -> Any:
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@compile_part
def _bucket(word: Any, layout: NDArray[np.uint64]) -> Any:
    one = np.uint64(1)
    low = (word >> layout[0, 0]) & ((one << layout[0, 1]) - one)
    high = (word >> layout[1, 0]) & ((one << layout[1, 1]) - one)
    return np.int64(low | (high << layout[0, 1]))


@compile_entry
def _look_over(
    hashes: Signature, starts: Places, num_frames: Places, owners: NDArray[np.int32], kinds: NDArray[np.uint8]
) -> None:
    """Note whose each frame is, and in a bit each which of its hashes are not like one before in their clip, [frames].

    Those of whole frames come before all insides.
    """
    for clip in range(len(starts)):
        begin, end = starts[clip], starts[clip] + num_frames[clip]
        for kind in range(hashes.shape[1]):
            for frame in range(begin, end):
                owners[frame] = clip
                word, is_new = hashes[frame, kind], True
                for earlier_kind in range(kind + 1):
                    for earlier in range(begin, frame if earlier_kind == kind else end):
                        if hashes[earlier, earlier_kind] == word:
                            is_new = False
                            break
                    if not is_new:
                        break
                if is_new:
                    kinds[frame] |= 1 << kind


@compile_entry
def _count(
    hashes: Signature,
    starts: Places,
    num_frames: Places,
    kinds: NDArray[np.uint8],
    layout: NDArray[np.uint64],
    first_bucket: int,
    ends: NDArray[np.int32],
) -> None:
    """Find where in the order of buckets each of some begins, and at last where all end; `ends` is of zeros."""
    for clip in range(len(starts)):
        for frame in range(starts[clip], starts[clip] + num_frames[clip]):
            for kind in range(hashes.shape[1]):
                bucket = _bucket(hashes[frame, kind], layout) - first_bucket
                if kinds[frame] >> kind & 1 and 0 <= bucket < len(ends) - 1:
                    ends[bucket + 1] += 1
    for bucket in range(1, len(ends)):
        ends[bucket] += ends[bucket - 1]


@compile_entry
def _deal(
    hashes: Signature,
    starts: Places,
    num_frames: Places,
    kinds: NDArray[np.uint8],
    layout: NDArray[np.uint64],
    first_bucket: int,
    ends: NDArray[np.int32],
    order: NDArray[np.int32],
) -> None:
    """Order hashes, by their places in `hashes` laid flat, by bucket and, in a bucket, as they come.

    `ends` tells where each bucket begins, and is used up.
    """
    num_kinds = hashes.shape[1]
    for clip in range(len(starts)):
        for kind in range(num_kinds):
            for frame in range(starts[clip], starts[clip] + num_frames[clip]):
                bucket = _bucket(hashes[frame, kind], layout) - first_bucket
                if kinds[frame] >> kind & 1 and 0 <= bucket < len(ends) - 1:
                    order[ends[bucket]] = frame * num_kinds + kind
                    ends[bucket] += 1


@compile_part
def _has_near_half(
    hashes: Signature, one_start: int, one_frames: int, other_start: int, other_frames: int, max_distance: int
) -> bool:
    """Tell whether half the frames of one clip have one of the other's within a distance: else the median is beyond."""
    allowed = one_frames // 2
    for frame in range(one_start, one_start + one_frames):
        is_near = False
        for other in range(other_start, other_start + other_frames):
            for kind in range(hashes.shape[1]):
                if (
                    _count_bits(hashes[frame, 0] ^ hashes[other, kind]) <= max_distance
                    or _count_bits(hashes[frame, kind] ^ hashes[other, 0]) <= max_distance
                ):
                    is_near = True
                    break
            if is_near:
                break
        if not is_near:
            allowed -= 1
            if allowed < 0:
                return False
    return True


@compile_entry
def _scan(
    hashes: Signature,
    starts: Places,
    num_frames: Places,
    owners: NDArray[np.int32],
    order: NDArray[np.int32],
    layout: NDArray[np.uint64],
    groups: NDArray[np.int32],
    max_distance: int,
    max_frame_distance: int,
    most_in_a_bucket: int,
    found: NDArray[np.int32],
    state: NDArray[np.int64],
) -> None:
    """Compare each hash with those behind it in its bucket; go on at `state[0]` until `found` could overflow.

    Sets `state` to where to go on, and how many pairs of clips were found.
    """
    num_kinds = hashes.shape[1]
    words = hashes.reshape(-1)
    place, num_found = state[0], 0
    while place < len(order) and num_found + most_in_a_bucket <= len(found):
        at = order[place]
        word, is_whole, clip = words[at], at % num_kinds == 0, owners[at // num_kinds]
        bucket = _bucket(word, layout)
        for next_place in range(place + 1, min(place + most_in_a_bucket, len(order))):
            other_at = order[next_place]
            if _bucket(words[other_at], layout) != bucket:
                break
            # Of all that is asked here this rules out the most, and dividing takes long.
            if _count_bits(word ^ words[other_at]) > max_frame_distance:
                continue
            other = owners[other_at // num_kinds]
            if groups[clip] == groups[other] or not (is_whole or other_at % num_kinds == 0):
                continue
            one_frames, other_frames = num_frames[clip], num_frames[other]
            if _has_near_half(
                hashes, starts[clip], one_frames, starts[other], other_frames, max_distance
            ) and _has_near_half(hashes, starts[other], other_frames, starts[clip], one_frames, max_distance):
                found[num_found, 0] = min(clip, other)
                found[num_found, 1] = max(clip, other)
                num_found += 1
        place += 1
    state[0], state[1] = place, num_found
