"""The search for near copies among very many clips: the same as in `copies.py`, compiled, and in little memory.

Clips of the largest group, which most often is train, are never held against each other. So the others' hashes alone
are dealt into buckets by two of their bands, and each hash of any clip is held against those of its bucket. What is
near by one frame is looked at whole at once, as a million clips have tens of millions of frames near each other by
chance alone.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.jit import compile_entry, compile_part
from curation.selection.signatures import BANDS, MOST_IN_A_BUCKET, Signature, Signatures, order_by_group

Places = NDArray[np.int32]
_FOUND_AT_A_TIME = 1 << 17
_HASHES_AT_A_TIME = 1 << 22
"""So many are in buckets at once, twelve bytes each."""
_REMEMBERED = 1 << 12
"""Pairs of clips that were looked at whole, so that they are not again for each frame."""


def list_candidates(
    signatures: Signatures, max_distance: int, slack: int, groups: NDArray[np.integer]
) -> Iterator[tuple[int, int]]:
    """Yield pairs of clips of different groups that may be near copies, the lower first; one may come several times."""
    hashes, starts, num_frames = signatures.hashes, signatures.starts, signatures.num_frames
    kinds = np.zeros(len(hashes), dtype=np.uint8)
    _find_new(hashes, starts, num_frames, kinds)
    clips, num_others = order_by_group(groups)
    groups = groups.astype(np.int32)
    visits = np.empty((hashes.shape[1] * int(num_frames.max(initial=0)) + 1, 4), dtype=np.int64)
    found = np.empty((_FOUND_AT_A_TIME + MOST_IN_A_BUCKET * len(visits), 2), dtype=np.int32)
    looked_at = np.zeros(_REMEMBERED, dtype=np.int64)
    state = np.zeros(2, dtype=np.int64)
    for bands in itertools.combinations(BANDS, 2):
        layout = np.array(bands, dtype=np.uint64)
        ends = np.zeros((1 << sum(width for _, width in bands)) + 1, dtype=np.int32)
        _count(hashes, starts, num_frames, kinds, layout, clips[:num_others], ends)
        is_filled = np.packbits(ends[1:] > ends[:-1], bitorder="little")
        for first, stop in _divide(ends):
            entries = np.empty(ends[stop] - ends[first], dtype=np.int32)
            words = np.empty(len(entries), dtype=np.uint64)
            _deal(hashes, starts, num_frames, kinds, layout, clips[:num_others], first, stop, ends, entries, words)
            looked_at[:], state[:] = 0, 0
            while state[0] < len(clips):
                _scan(
                    hashes, starts, num_frames, kinds, layout, clips, groups, is_filled, first, stop,
                    ends, entries, words, max_distance, max_distance + slack, MOST_IN_A_BUCKET, visits, looked_at,
                    found, state,
                )  # fmt: skip
                yield from zip(*np.unique(found[: state[1]], axis=0).T.tolist(), strict=True)


def _divide(ends: Places) -> list[tuple[int, int]]:
    """Divide buckets, given where each begins and at last where all end, into runs of about _HASHES_AT_A_TIME."""
    num_runs = -(-int(ends[-1]) // _HASHES_AT_A_TIME)
    stops = np.searchsorted(ends, np.arange(1, num_runs) * _HASHES_AT_A_TIME, side="right") - 1
    return list(itertools.pairwise([0, *stops.tolist(), len(ends) - 1])) if num_runs else []


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
def _find_new(hashes: Signature, starts: Places, num_frames: Places, kinds: NDArray[np.uint8]) -> None:
    """Note of each frame, in a bit each, which of its hashes are not like one before in their clip, [frames].

    Those of whole frames come before all insides.
    """
    for clip in range(len(starts)):
        begin, end = starts[clip], starts[clip] + num_frames[clip]
        for kind in range(hashes.shape[1]):
            for frame in range(begin, end):
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
    clips: Places,
    ends: NDArray[np.int32],
) -> None:
    """Find where in the order of buckets each begins, and at last where all end; `ends` is of zeros."""
    for clip in clips:
        for frame in range(starts[clip], starts[clip] + num_frames[clip]):
            for kind in range(hashes.shape[1]):
                if kinds[frame] >> kind & 1:
                    ends[_bucket(hashes[frame, kind], layout) + 1] += 1
    for bucket in range(1, len(ends)):
        ends[bucket] += ends[bucket - 1]


@compile_entry
def _deal(
    hashes: Signature,
    starts: Places,
    num_frames: Places,
    kinds: NDArray[np.uint8],
    layout: NDArray[np.uint64],
    clips: Places,
    first: int,
    stop: int,
    ends: NDArray[np.int32],
    entries: NDArray[np.int32],
    words: NDArray[np.uint64],
) -> None:
    """Deal hashes into the buckets from `first` to `stop`, in each as `clips` come: in `words`, and whose in `entries`.

    An entry is twice the clip's place in `clips`, and one more for the hash of a whole frame. `ends` tells where each
    bucket begins, and afterwards, of these, where each ends.
    """
    begin = ends[first]
    for place in range(len(clips)):
        clip = clips[place]
        for kind in range(hashes.shape[1]):
            for frame in range(starts[clip], starts[clip] + num_frames[clip]):
                if kinds[frame] >> kind & 1:
                    bucket = _bucket(hashes[frame, kind], layout)
                    if first <= bucket < stop:
                        entries[ends[bucket] - begin] = 2 * place + (kind == 0)
                        words[ends[bucket] - begin] = hashes[frame, kind]
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


@compile_part
def _are_near(hashes: Signature, starts: Places, num_frames: Places, one: int, other: int, max_distance: int) -> bool:
    """Tell whether two clips may be within a distance, a median over frames, in both directions."""
    one_start, one_frames, other_start, other_frames = starts[one], num_frames[one], starts[other], num_frames[other]
    are_near: bool = _has_near_half(
        hashes, one_start, one_frames, other_start, other_frames, max_distance
    ) and _has_near_half(hashes, other_start, other_frames, one_start, one_frames, max_distance)
    return are_near


@compile_part
def _list_visits(
    hashes: Signature,
    start: int,
    num_frames: int,
    kinds: NDArray[np.uint8],
    layout: NDArray[np.uint64],
    is_filled: NDArray[np.uint8],
    first: int,
    stop: int,
    ends: NDArray[np.int32],
    words: NDArray[np.uint64],
    visits: NDArray[np.int64],
) -> int:
    """List a clip's hashes whose buckets are filled: their frame and kind, and where the bucket begins and ends.

    Each bucket is touched, one right after the other: the processor then waits for all of them at once, where it would
    wait for each by itself while they are searched. Nearly all the time of a search was that.
    """
    num_visits, begin = 0, 0 if first == 0 else ends[first - 1]
    for frame in range(start, start + num_frames):
        for kind in range(hashes.shape[1]):
            bucket = _bucket(hashes[frame, kind], layout)
            # A bit each, which stay in the cache.
            is_met = is_filled[bucket >> 3] >> (bucket & 7) & kinds[frame] >> kind & 1
            if is_met and first <= bucket < stop:
                visits[num_visits, 0], visits[num_visits, 1], visits[num_visits, 2] = frame, kind, bucket
                num_visits += 1
    touched = np.uint64(0)
    for number in range(num_visits):
        bucket = visits[number, 2]
        visits[number, 2] = 0 if bucket == first else ends[bucket - 1] - begin
        visits[number, 3] = ends[bucket] - begin
        touched ^= words[visits[number, 2]]
    visits[-1, 0] = np.int64(touched)  # Else the compiler would leave the touching out.
    return num_visits


@compile_entry
def _scan(
    hashes: Signature,
    starts: Places,
    num_frames: Places,
    kinds: NDArray[np.uint8],
    layout: NDArray[np.uint64],
    clips: Places,
    groups: NDArray[np.int32],
    is_filled: NDArray[np.uint8],
    first: int,
    stop: int,
    ends: NDArray[np.int32],
    entries: NDArray[np.int32],
    words: NDArray[np.uint64],
    max_distance: int,
    max_frame_distance: int,
    most_in_a_bucket: int,
    visits: NDArray[np.int64],
    looked_at: NDArray[np.int64],
    found: NDArray[np.int32],
    state: NDArray[np.int64],
) -> None:
    """Hold each hash against those of earlier clips in its bucket; go on at `state[0]` until `found` could overflow.

    Sets `state` to where in `clips` to go on, and how many pairs of clips were found.
    """
    place, num_found, limit = state[0], 0, np.uint64(max_frame_distance)
    while place < len(clips) and num_found + most_in_a_bucket * len(visits) <= len(found):
        clip = clips[place]
        num_visits = _list_visits(
            hashes, starts[clip], num_frames[clip], kinds, layout, is_filled, first, stop, ends, words, visits
        )
        for frame, kind, begins, stops in visits[:num_visits]:
            word = hashes[frame, kind]
            for number in range(begins, min(stops, begins + most_in_a_bucket)):
                if _count_bits(word ^ words[number]) > limit:
                    continue
                if entries[number] >> 1 >= place:
                    break
                other = clips[entries[number] >> 1]
                if groups[clip] == groups[other] or not (kind == 0 or entries[number] & 1):
                    continue
                # Where one frame is near by chance, many are.
                pair = (np.int64(clip) << 32) | other
                if looked_at[other % len(looked_at)] == pair:
                    continue
                looked_at[other % len(looked_at)] = pair
                if _are_near(hashes, starts, num_frames, clip, other, max_distance):
                    found[num_found, 0] = min(clip, other)
                    found[num_found, 1] = max(clip, other)
                    num_found += 1
        place += 1
    state[0], state[1] = place, num_found
