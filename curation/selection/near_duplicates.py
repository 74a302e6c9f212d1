"""Signatures of clips -> pairs of near-duplicates, by locality-sensitive hashing.

The 64 bits of a perceptual hash are divided into six bands. For each of the 15 pairs of bands, hashes are sorted into
buckets by the bits of both bands, and every hash is compared with those in its bucket. Two hashes that differ in up to
10 bits agree in two bands one time in four, and a clip has up to 16 frames. Two clips with a close pair of hashes are
then compared as a whole.

Pairs within the largest group, usually train, are never needed. So only the hashes of the other groups go into buckets.
The search is compiled by Numba, which takes 0.3 s to import: import this module inside a function.
"""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.jit import compile_entry, compile_part
from curation.selection.signatures import Signature, Signatures, measure_distance

_BANDS = ((0, 11), (11, 11), (22, 11), (33, 11), (44, 10), (54, 10))
"""First bit and number of bits of each band."""
_SLACK_BITS = 4
"""Bits by which two close frames may exceed the distance of their clips, which is a median."""
_MAX_BUCKET_SIZE = 200
"""A hash is compared with this many hashes of its bucket. Pictures that are so common prove little."""
_NUM_REMEMBERED = 4_096
"""Pairs of clips that were just compared: where one frame is close by chance, many are."""


class _Hashes(NamedTuple):
    """The hashes of all clips; see `Signatures`."""

    words: Signature
    starts: NDArray[np.int32]
    num_frames: NDArray[np.int32]
    is_new: NDArray[np.uint8]
    """A bit for each of a frame's hashes: set for the first of equal hashes in a clip. [frames]."""


class _Buckets(NamedTuple):
    """The hashes to compare with, sorted by bucket."""

    bands: NDArray[np.uint64]
    """First bit and number of bits of two bands, [2, 2]."""
    ends: NDArray[np.int32]
    """Where each bucket ends in `words`, which is where the next one starts; [buckets]."""
    is_filled: NDArray[np.uint8]
    """A bit for each bucket. They fit into the processor's cache, which `ends` does not."""
    words: NDArray[np.uint64]
    owners: NDArray[np.int32]
    """Twice the owner's position in the order of clips, plus 1 for the hash of a whole frame."""


def find_near_duplicates(
    signatures: Signatures, max_distance: int, groups: NDArray[np.integer] | None = None
) -> dict[tuple[int, int], float]:
    """Return the distance of all pairs of clips that are at most `max_distance` bits apart.

    Keys are the two clips' indices, the lower first. With `groups`, [clips], both clips are of different groups.
    """
    groups = np.arange(len(signatures)) if groups is None else groups
    near = {}
    for first, second in sorted(set(_find_candidates(signatures, max_distance, groups))):
        distance = measure_distance(signatures[first], signatures[second])
        if distance <= max_distance:
            near[first, second] = distance
    return near


def _find_candidates(
    signatures: Signatures, max_distance: int, groups: NDArray[np.integer]
) -> Iterator[tuple[int, int]]:
    """Yield pairs of clips that may be near-duplicates, the lower index first; a pair may be repeated."""
    clips, num_searched = _order_by_group(groups)
    if not num_searched:
        return
    hashes = _Hashes(
        words=signatures.hashes,
        starts=signatures.starts,
        num_frames=signatures.num_frames,
        is_new=np.zeros(len(signatures.hashes), dtype=np.uint8),
    )
    _mark_new(hashes)
    for bands in itertools.combinations(_BANDS, 2):
        buckets = _fill_buckets(hashes, clips[:num_searched], np.array(bands, dtype=np.uint64))
        yield from _search(hashes, buckets, clips, groups.astype(np.int32), max_distance)


def _order_by_group(groups: NDArray[np.integer]) -> tuple[NDArray[np.int32], int]:
    """Order clips so that those of the largest group are last; returns their indices and how many are of others."""
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.lexsort([codes, sizes[codes]]).astype(np.int32)
    return order, len(order) - int(sizes.max(initial=0))


def _fill_buckets(hashes: _Hashes, clips: NDArray[np.int32], bands: NDArray[np.uint64]) -> _Buckets:
    """Sort the hashes of some clips into buckets; a bucket's hashes are in the order of the clips."""
    starts = np.zeros((1 << int(bands[:, 1].sum())) + 1, dtype=np.int32)
    _count(hashes, clips, bands, starts[1:])
    np.cumsum(starts, out=starts)
    buckets = _Buckets(
        bands=bands,
        ends=starts,
        is_filled=np.packbits(starts[1:] > starts[:-1], bitorder="little"),
        words=np.empty(starts[-1], dtype=np.uint64),
        owners=np.empty(starts[-1], dtype=np.int32),
    )
    _fill(hashes, clips, buckets)
    return buckets


@compile_part
def _count_bits(word: Any) -> Any:
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@compile_part
def _find_bucket(word: Any, bands: NDArray[np.uint64]) -> Any:
    one = np.uint64(1)
    low = (word >> bands[0, 0]) & ((one << bands[0, 1]) - one)
    high = (word >> bands[1, 0]) & ((one << bands[1, 1]) - one)
    return np.int64(low | (high << bands[0, 1]))


@compile_part
def _frames_of(hashes: _Hashes, clip: int) -> range:
    return range(hashes.starts[clip], hashes.starts[clip] + hashes.num_frames[clip])


@compile_entry
def _mark_new(hashes: _Hashes) -> None:
    """Set `is_new`. Hashes of whole frames precede those of all crops."""
    for clip in range(len(hashes.starts)):
        for kind in range(hashes.words.shape[1]):
            for frame in _frames_of(hashes, clip):
                is_new = True
                for earlier_kind in range(kind + 1):
                    for earlier in _frames_of(hashes, clip):
                        if earlier_kind < kind or earlier < frame:
                            is_new &= hashes.words[earlier, earlier_kind] != hashes.words[frame, kind]
                hashes.is_new[frame] |= is_new << kind


@compile_entry
def _count(hashes: _Hashes, clips: NDArray[np.int32], bands: NDArray[np.uint64], sizes: NDArray[np.int32]) -> None:
    """Count the hashes in each bucket; `sizes` [buckets] starts at zeros."""
    for clip in clips:
        for frame in _frames_of(hashes, clip):
            for kind in range(hashes.words.shape[1]):
                if hashes.is_new[frame] >> kind & 1:
                    sizes[_find_bucket(hashes.words[frame, kind], bands)] += 1


@compile_entry
def _fill(hashes: _Hashes, clips: NDArray[np.int32], buckets: _Buckets) -> None:
    """Write the hashes of clips into their buckets; `ends` is where each starts before, and where it ends after."""
    for position in range(len(clips)):
        clip = clips[position]
        for kind in range(hashes.words.shape[1]):
            for frame in _frames_of(hashes, clip):
                if hashes.is_new[frame] >> kind & 1:
                    bucket = _find_bucket(hashes.words[frame, kind], buckets.bands)
                    buckets.words[buckets.ends[bucket]] = hashes.words[frame, kind]
                    buckets.owners[buckets.ends[bucket]] = 2 * position + (kind == 0)
                    buckets.ends[bucket] += 1


@compile_part
def _has_near_frame(hashes: _Hashes, frame: int, clip: int, max_distance: int) -> bool:
    for other in _frames_of(hashes, clip):
        for kind in range(hashes.words.shape[1]):
            if (
                _count_bits(hashes.words[frame, 0] ^ hashes.words[other, kind]) <= max_distance
                or _count_bits(hashes.words[frame, kind] ^ hashes.words[other, 0]) <= max_distance
            ):
                return True
    return False


@compile_part
def _may_be_near(hashes: _Hashes, first: int, second: int, max_distance: int) -> bool:
    """Whether half of the first clip's frames are near a frame of the second; otherwise their median is not."""
    num_allowed = hashes.num_frames[first] // 2
    for frame in _frames_of(hashes, first):
        if not _has_near_frame(hashes, frame, second, max_distance):
            num_allowed -= 1
            if num_allowed < 0:
                return False
    return True


@compile_part
def _list_lookups(hashes: _Hashes, clip: int, buckets: _Buckets, lookups: NDArray[np.int64]) -> int:
    """List a clip's hashes with a filled bucket: their frame and kind, and where the bucket starts and stops.

    Every bucket is read once here, one right after the other, so that the processor loads all of them at once.
    Without this, most of the time of a search is spent waiting for memory.
    """
    num_lookups = 0
    for frame in _frames_of(hashes, clip):
        for kind in range(hashes.words.shape[1]):
            bucket = _find_bucket(hashes.words[frame, kind], buckets.bands)
            if buckets.is_filled[bucket >> 3] >> (bucket & 7) & hashes.is_new[frame] >> kind & 1:
                lookups[num_lookups, 0], lookups[num_lookups, 1], lookups[num_lookups, 2] = frame, kind, bucket
                num_lookups += 1
    read = np.uint64(0)
    for number in range(num_lookups):
        bucket = lookups[number, 2]
        lookups[number, 2] = 0 if bucket == 0 else buckets.ends[bucket - 1]
        lookups[number, 3] = buckets.ends[bucket]
        read ^= buckets.words[lookups[number, 2]]
    lookups[-1, 0] = np.int64(read)  # Otherwise the compiler would remove the reads.
    return num_lookups


@compile_entry
def _search(
    hashes: _Hashes, buckets: _Buckets, clips: NDArray[np.int32], groups: NDArray[np.int32], max_distance: int
) -> list[tuple[np.int64, np.int64]]:
    """Compare each hash of each clip with those of earlier clips in its bucket; returns pairs of candidates."""
    found = [(np.int64(0), np.int64(0)) for _ in range(0)]  # Numba infers the type of an empty list from this.
    remembered = np.zeros(_NUM_REMEMBERED, dtype=np.int64)
    lookups = np.empty((hashes.words.shape[1] * hashes.num_frames.max() + 1, 4), dtype=np.int64)
    max_frame_distance = np.uint64(max_distance + _SLACK_BITS)
    for position in range(len(clips)):
        clip = np.int64(clips[position])
        for frame, kind, first, last in lookups[: _list_lookups(hashes, clip, buckets, lookups)]:
            word = hashes.words[frame, kind]
            for entry in range(first, min(last, first + _MAX_BUCKET_SIZE)):
                if _count_bits(word ^ buckets.words[entry]) > max_frame_distance:
                    continue
                if buckets.owners[entry] >> 1 >= position:
                    break
                other = np.int64(clips[buckets.owners[entry] >> 1])
                is_whole = kind == 0 or buckets.owners[entry] & 1
                pair = (clip << 32) | other
                if groups[clip] == groups[other] or not is_whole or remembered[other % _NUM_REMEMBERED] == pair:
                    continue
                remembered[other % _NUM_REMEMBERED] = pair
                if _may_be_near(hashes, clip, other, max_distance) and _may_be_near(hashes, other, clip, max_distance):
                    found.append((min(clip, other), max(clip, other)))
    return found
