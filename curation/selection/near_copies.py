"""The fingerprints of all clips -> which clip is a copy of which, exactly or nearly.

Exact copies have one digest. Near copies are found in two steps: any two frames whose hashes agree in two of six bands
make their clips candidates; candidates are then compared frame by frame. Hashes that differ in up to 10 of 64 bits
agree in two bands one time in four, and a clip has 16 chances.
"""

import collections
import dataclasses
import importlib.util
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from curation.selection.signatures import BANDS, MOST_IN_A_BUCKET, Signatures, order_by_group
from shards.schema import SPLITS

_HAS_NUMBA = importlib.util.find_spec("numba") is not None

_SLACK = 4
"""Bits that a single pair of frames may be beyond the distance of their clips, which is a median."""
_CHUNK = 1 << 22
_WORTH_COMPILING = 20_000
"""Clips: for fewer, whole columns are as quick as loading what is compiled."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prints:
    """What is known of clips, to find their copies by; every field is [clips]."""

    clip_keys: Sequence[str]
    splits: NDArray[np.int8]
    """Places in SPLITS."""
    rows: NDArray[np.int32]
    """Of the listing, at which each stands first."""
    digests: NDArray[np.void]
    """Of their frames, 32 bytes each."""
    signatures: Signatures


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copy:
    """One clip that another stands for."""

    clip_key: str
    original: str
    """The clip key that stands for it."""
    distance: float | None
    """Median of the bits by which their frames differ; None where the frames are the same."""


def find_copies(prints: Prints, *, near_distance: int, has_official_splits: bool) -> dict[str, Copy]:
    """Find what to leave out: of exact copies all but one, of near copies those that stand in another split.

    The first row stays; but where official lists made the splits, val and test keep theirs and train loses its.
    `near_distance` is the median distance in bits up to which clips are near copies; 0 looks for exact ones alone.
    """
    ranked = np.lexsort([prints.rows, (prints.splits == SPLITS.index("train")) & has_official_splits])
    first = _find_first(prints.digests[ranked])
    copies = {
        (key := prints.clip_keys[ranked[place]]): Copy(
            clip_key=key, original=prints.clip_keys[ranked[first[place]]], distance=None
        )
        for place in np.flatnonzero(first != np.arange(len(first))).tolist()
    }
    if near_distance:
        unique = ranked[first == np.arange(len(first))]
        near = find_near_copies(prints.signatures.take(unique), near_distance, prints.splits[unique])
        copies |= _drop_across_splits([prints.clip_keys[place] for place in unique.tolist()], near)
    return copies


def _find_first(digests: NDArray[np.void]) -> NDArray[np.int64]:
    """Tell for each digest, [clips], the first place of its like."""
    words = digests.view("<u8").reshape(len(digests), digests.dtype.itemsize // 8)
    order = np.lexsort([np.arange(len(words)), *words.T])
    is_new = np.ones(len(words), dtype=bool)
    is_new[1:] = (words[order[1:]] != words[order[:-1]]).any(axis=1)
    first = np.empty(len(words), dtype=np.int64)
    first[order] = order[is_new][np.cumsum(is_new) - 1]
    return first


def _drop_across_splits(clip_keys: Sequence[str], near: Mapping[tuple[int, int], float]) -> dict[str, Copy]:
    """Leave out every clip to which an earlier one is near that stays; `near` is of clips in different splits."""
    earlier: dict[int, list[tuple[float, int]]] = collections.defaultdict(list)
    for (one, other), distance in near.items():
        earlier[other].append((distance, one))
    copies: dict[str, Copy] = {}
    for number in sorted(earlier):
        staying = [(distance, one) for distance, one in earlier[number] if clip_keys[one] not in copies]
        if staying:
            distance, one = min(staying)
            key = clip_keys[number]
            copies[key] = Copy(clip_key=key, original=clip_keys[one], distance=distance)
    return copies


def find_near_copies(
    signatures: Signatures, max_distance: int, groups: NDArray[np.integer] | None = None
) -> dict[tuple[int, int], float]:
    """Find the pairs of clips, by their numbers, the lower first, that differ by `max_distance` bits at most.

    With `groups`, [clips], only pairs of clips of different groups.
    """
    apart = np.arange(len(signatures)) if groups is None else groups
    if _HAS_NUMBA and len(signatures) > _WORTH_COMPILING:
        from curation.selection.near_copies_compiled import list_candidates

        candidates = list_candidates(signatures, max_distance, _SLACK, apart)
    else:
        candidates = _list_candidates(signatures, max_distance + _SLACK, apart)
    found = {}
    for one, other in sorted(set(candidates)):
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


def _list_candidates(
    signatures: Signatures, max_distance: int, groups: NDArray[np.integer]
) -> Iterator[tuple[int, int]]:
    """Yield pairs of clips that have two frames of at most this distance, found by two common bands."""
    in_order, num_others = order_by_group(groups)
    clips, hashes, whole = _list_hashes(signatures, in_order)
    # Clips of the largest group are not held against each other: the hashes of the others, which come first, are met.
    num_met = int(np.isin(clips, in_order[:num_others]).sum())
    for bands in itertools.combinations(BANDS, 2):
        values = hashes & np.uint64(sum(((1 << width) - 1) << shift for shift, width in bands))
        order = np.argsort(values[:num_met], kind="stable")
        for one, places in _list_meetings(values, values[order]):
            other = order[places]
            close = (other < one) & (groups[clips[one]] != groups[clips[other]]) & (whole[one] | whole[other])
            one, other = one[close], other[close]
            close = np.bitwise_count(hashes[one] ^ hashes[other]) <= max_distance
            pairs = np.sort(np.stack([clips[one[close]], clips[other[close]]]), axis=0)
            yield from zip(*np.unique(pairs, axis=1).tolist(), strict=True)


def _list_hashes(
    signatures: Signatures, order: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.bool_]]:
    """List every hash once a clip, clips in this order: whose it is, the hash, and whether it saw the whole frame."""
    clips, hashes, whole = [np.empty(0, np.int64)], [np.empty(0, np.uint64)], [np.empty(0, np.bool_)]
    for number in order.tolist():
        signature = signatures[number]
        # Those of whole frames first: an inside that looks like one is not counted.
        seen = signature.T.ravel()
        _, places = np.unique(seen, return_index=True)
        places.sort()
        hashes.append(seen[places])
        clips.append(np.full(len(places), number))
        whole.append(places < len(signature))
    return np.concatenate(clips), np.concatenate(hashes), np.concatenate(whole)


def _list_meetings(
    values: NDArray[np.uint64], ordered: NDArray[np.uint64]
) -> Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield which values meet which of equal ones in a sorted array, by their places, a step of distance at a time."""
    begins, ends = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    alive = np.arange(len(values))
    for step in range(MOST_IN_A_BUCKET):
        alive = alive[begins[alive] + step < ends[alive]]
        if not len(alive):
            return
        for begin in range(0, len(alive), _CHUNK):
            ones = alive[begin : begin + _CHUNK]
            yield ones, begins[ones] + step
