"""The fingerprints of all clips -> which clip is a copy of which, exactly or nearly.

Exact copies have one digest. Near copies are found in two steps: any two frames whose hashes agree in two of six bands
make their clips candidates; candidates are then compared frame by frame. Hashes that differ in up to 10 of 64 bits
agree in two bands one time in four, and a clip has 16 chances.
"""

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

_BANDS = [
    np.uint64(((1 << width) - 1) << shift)
    for shift, width in ((0, 11), (11, 11), (22, 11), (33, 11), (44, 10), (54, 10))
]
_SLACK = 4
"""Bits that a single pair of frames may be beyond the distance of their clips, which is a median."""
_MOST_IN_A_BUCKET = 200
"""Each hash meets this many at most of those that share two bands with it: pictures so common prove little."""
_CHUNK = 1 << 22


@dataclasses.dataclass(frozen=True, kw_only=True)
class Print:
    """What is known of one clip, to find its copies by."""

    clip_key: str
    split: str
    row: int
    """Of the listing, at which it stands first."""
    digest: str
    """Of its frames."""
    signature: NDArray[np.uint64]
    """Perceptual hashes, uint64 [frames, 3]: each frame whole, then its insides."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copy:
    """One clip that another stands for."""

    clip_key: str
    original: str
    """The clip key that stands for it."""
    distance: float | None
    """Median of the bits by which their frames differ; None where the frames are the same."""


def find_copies(prints: Sequence[Print], *, near_distance: int, has_official_splits: bool) -> dict[str, Copy]:
    """Find what to leave out: of exact copies all but one, of near copies those that stand in another split.

    The first row stays; but where official lists made the splits, val and test keep theirs and train loses its.
    `near_distance` is the median distance in bits up to which clips are near copies; 0 looks for exact ones alone.
    """
    ranked = sorted(prints, key=lambda one: (has_official_splits and one.split == "train", one.row))
    copies: dict[str, Copy] = {}
    first: dict[str, str] = {}
    for one in ranked:
        original = first.setdefault(one.digest, one.clip_key)
        if original != one.clip_key:
            copies[one.clip_key] = Copy(clip_key=one.clip_key, original=original, distance=None)
    if near_distance:
        unique = [one for one in ranked if one.clip_key not in copies]
        copies |= _drop_across_splits(unique, find_near_copies([one.signature for one in unique], near_distance))
    return copies


def _drop_across_splits(ranked: Sequence[Print], near: Mapping[tuple[int, int], float]) -> dict[str, Copy]:
    earlier: dict[int, list[tuple[float, int]]] = collections.defaultdict(list)
    for (one, other), distance in near.items():
        if ranked[one].split != ranked[other].split:
            earlier[other].append((distance, one))
    copies: dict[str, Copy] = {}
    for number in sorted(earlier):
        staying = [(distance, one) for distance, one in earlier[number] if ranked[one].clip_key not in copies]
        if staying:
            distance, one = min(staying)
            key = ranked[number].clip_key
            copies[key] = Copy(clip_key=key, original=ranked[one].clip_key, distance=distance)
    return copies


def find_near_copies(signatures: Sequence[NDArray[np.uint64]], max_distance: int) -> dict[tuple[int, int], float]:
    """Find the pairs of clips, by their numbers, the lower first, that differ by `max_distance` bits at most."""
    found = {}
    for one, other in sorted(set(_list_candidates(signatures, max_distance + _SLACK))):
        distance = measure_distance(signatures[one], signatures[other])
        if distance <= max_distance:
            found[one, other] = distance
    return found


def measure_distance(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    """Measure how far two clips are apart, in bits of 64: the median over frames of the distance to the nearest frame.

    Of the two directions the greater, so a clip that holds another and much else is not its copy. A whole frame is held
    against the other's whole and insides.
    """
    if not len(one) or not len(other):
        return 64.0
    insides_of_other = np.bitwise_count(one[:, None, :1] ^ other[None]).min(2)
    insides_of_one = np.bitwise_count(one[:, None] ^ other[None, :, :1]).min(2)
    nearest = np.minimum(insides_of_other, insides_of_one)
    return float(max(np.median(nearest.min(1)), np.median(nearest.min(0))))


def _list_candidates(signatures: Sequence[NDArray[np.uint64]], max_distance: int) -> Iterator[tuple[int, int]]:
    """Yield pairs of clips that have two frames of at most this distance, found by two common bands."""
    clips, hashes, whole = _list_hashes(signatures)
    for bands in itertools.combinations(_BANDS, 2):
        values = hashes & (bands[0] | bands[1])
        order = np.argsort(values, kind="stable")
        for ones, others in _list_neighbours(values[order]):
            one, other = order[ones], order[others]
            close = (clips[one] != clips[other]) & (whole[one] | whole[other])
            one, other = one[close], other[close]
            close = np.bitwise_count(hashes[one] ^ hashes[other]) <= max_distance
            pairs = np.sort(np.stack([clips[one[close]], clips[other[close]]]), axis=0)
            yield from zip(*np.unique(pairs, axis=1).tolist(), strict=True)


def _list_hashes(
    signatures: Sequence[NDArray[np.uint64]],
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.bool_]]:
    """List every hash once a clip: whose it is, the hash, and whether it saw the whole frame."""
    clips, hashes, whole = [np.empty(0, np.int64)], [np.empty(0, np.uint64)], [np.empty(0, np.bool_)]
    for number, signature in enumerate(signatures):
        wholes = np.unique(signature[:, 0])
        insides = np.setdiff1d(signature[:, 1:], wholes)
        hashes += [wholes, insides]
        clips.append(np.full(len(wholes) + len(insides), number))
        whole.append(np.arange(len(wholes) + len(insides)) < len(wholes))
    return np.concatenate(clips), np.concatenate(hashes), np.concatenate(whole)


def _list_neighbours(ordered: NDArray[np.uint64]) -> Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the places of equal values in a sorted array, as pairs, a step of distance at a time."""
    alive = np.arange(len(ordered))
    for step in range(1, _MOST_IN_A_BUCKET):
        alive = alive[alive + step < len(ordered)]
        alive = alive[ordered[alive] == ordered[alive + step]]
        if not len(alive):
            return
        for begin in range(0, len(alive), _CHUNK):
            ones = alive[begin : begin + _CHUNK]
            yield ones, ones + step
