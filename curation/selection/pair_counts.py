"""Parts of the flow table -> counts by clip and bin: all that selection has to hold of a table of any length.

Parts are read side by side, a few at a time, and only the columns that are asked for. Everything is done on whole
columns: a hundred million pairs take seconds.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.config import CurationConfig
from curation.flow.read_columns import read_part_columns, read_parts_concurrently
from curation.seeds import clip_seed, rank_pairs
from shards.location import Location

_CANDIDATES_PER_WANTED = 3
_MORE_CANDIDATES = 16


def bin_edges(config: CurationConfig) -> tuple[int, ...]:
    """Edges of the unit-wide bins, at whole pixels, as the model's motion embedding reads whole pixels."""
    return tuple(range(math.floor(config.min_motion), math.ceil(config.max_motion) + 1))


def deciding_columns(config: CurationConfig) -> tuple[str, ...]:
    """Name the columns of the flow table that decide whether a pair may be kept."""
    cuts = ("across_cut",) if config.drop_cuts else ()
    return ("motion_px", "source_index", "target_index", *cuts)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tally:
    """Pairs by clip and bin, [clips, columns]: a column for every bin that any pair is in."""

    keys: tuple[str, ...]
    """The clips, in the order in which they are counted."""
    bins: NDArray[np.int64]
    """Which bin each column stands for, ascending."""
    num_bins: int
    """Empty ones with them."""
    in_range: NDArray[np.int32]
    """Pairs whose motion is in the range."""
    drawn: NDArray[np.int32]
    """Of these, the ones that a plain draw takes: of each clip the pairs of lowest rank, as many as the cap lets."""

    def spread(self, counts: NDArray[Any]) -> tuple[int, ...]:
        """Put counts by column, [columns], where their bins are among all bins."""
        spread = np.zeros(self.num_bins, dtype=np.int64)
        spread[self.bins] = counts
        return tuple(spread.tolist())


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowsInRange:
    """Of one part, the rows of wanted clips whose motion is in the range; arrays are [rows]."""

    clips: tuple[int, ...]
    """Number of each clip of the part, as it was asked for; -1 for one that was not."""
    rows: NDArray[np.int64]
    """Where in the part."""
    codes: NDArray[np.int64]
    """Which of `clips`."""
    bins: NDArray[np.int64]
    ranks: NDArray[np.uint64]
    """Drawn by seed, clip and pair alone."""


def count_pairs(paths: Iterable[Location], keys: Iterable[str], config: CurationConfig) -> Tally:
    """Count the pairs in range of these clips, and those that a plain draw takes; reads each part once."""
    ordered = tuple(keys)
    numbers = {key: number for number, key in enumerate(ordered)}
    num_bins = len(bin_edges(config)) - 1
    counted = list(read_parts_concurrently(paths, lambda path: _count_part(path, numbers, config)))
    is_there = np.zeros(num_bins, dtype=bool)
    for one in counted:
        is_there[one.cells % num_bins] = True
    bins = np.flatnonzero(is_there)
    in_range, drawn = (np.zeros((len(ordered), len(bins)), dtype=np.int32) for _ in range(2))
    for one in counted:
        cells = one.cells // num_bins, np.searchsorted(bins, one.cells % num_bins)
        in_range[cells], drawn[cells] = one.in_range, one.drawn
    return Tally(keys=ordered, bins=bins, num_bins=num_bins, in_range=in_range, drawn=drawn)


def rows_in_range(
    keys: list[str], columns: list[NDArray[Any]], numbers: Mapping[str, int], config: CurationConfig
) -> RowsInRange:
    """Find a part's rows that may be kept.

    `columns` are the codes and those that `deciding_columns` names; `numbers` are those of the clips asked for.
    """
    codes, motion, sources, targets, *across_cuts = columns
    clips = tuple(numbers.get(key, -1) for key in keys)
    # As what is stored: comparing in float32 is then exact, and twice as fast.
    low, high = _as_stored(config.min_motion, up=True), _as_stored(config.max_motion, up=False)
    fits = (motion >= low) & (motion <= high)
    for across_cut in across_cuts:
        fits &= ~across_cut
    if -1 in clips:
        fits &= (np.array(clips) >= 0)[codes]
    rows = np.flatnonzero(fits)
    codes, edges = codes[rows].astype(np.int64), bin_edges(config)
    states = np.array([clip_seed(config.seed, key) for key in keys], dtype=np.uint64)
    return RowsInRange(
        clips=clips,
        rows=rows,
        codes=codes,
        bins=np.minimum(motion[rows].astype(np.int64) - edges[0], len(edges) - 2),
        ranks=rank_pairs(states[codes], sources[rows], targets[rows]),
    )


def lowest_ranked(ranks: NDArray[np.uint64], groups: NDArray[np.int64], num_wanted: NDArray[Any]) -> NDArray[np.int64]:
    """Find the rows of lowest rank in each group, `num_wanted` [groups] of them or all there are.

    Ranks are spread evenly, so nearly all rows are too high to be among them and need not be sorted. Where that
    leaves a group with too few, all its rows are.
    """
    num_rows = np.bincount(groups, minlength=len(num_wanted))
    share = (_CANDIDATES_PER_WANTED * num_wanted + _MORE_CANDIDATES) / np.maximum(num_rows, 1)
    limits = np.where(share < 1, np.minimum(share, 0.999) * 2.0**64, 0).astype(np.uint64)
    limits[share >= 1] = np.iinfo(np.uint64).max
    limits[num_wanted == 0] = 0
    near = ranks <= limits[groups]
    too_few = np.bincount(groups[near], minlength=len(num_wanted)) < np.minimum(num_wanted, num_rows)
    if too_few.any():
        near |= too_few[groups]
    candidates = np.flatnonzero(near)
    order = candidates[np.lexsort((ranks[candidates], groups[candidates]))]
    sorted_groups = groups[order]
    place = np.arange(len(order)) - np.searchsorted(sorted_groups, sorted_groups)
    return order[place < num_wanted[sorted_groups]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Counts:
    """Pairs of one part by clip and bin; arrays are [cells]."""

    cells: NDArray[np.int64]
    """Clip x bins + bin, of those that are not empty."""
    in_range: NDArray[np.int32]
    drawn: NDArray[np.int32]


def _count_part(path: Location, numbers: Mapping[str, int], config: CurationConfig) -> _Counts:
    keys, columns = read_part_columns(path, *deciding_columns(config))
    found = rows_in_range(keys, columns, numbers, config)
    drawn = lowest_ranked(found.ranks, found.codes, np.full(len(keys), config.pairs_per_gif))
    num_bins = len(bin_edges(config)) - 1
    cells = found.codes * num_bins + found.bins
    places, in_range = np.unique(cells, return_counts=True)
    taken = np.bincount(np.searchsorted(places, cells[drawn]), minlength=len(places))
    clips = np.array(found.clips, dtype=np.int64)
    return _Counts(
        cells=clips[places // num_bins] * num_bins + places % num_bins,
        in_range=in_range.astype(np.int32),
        drawn=taken.astype(np.int32),
    )


def _as_stored(threshold: float, *, up: bool) -> float:
    """Find the least stored value that is not below a threshold, or the greatest that is not above it."""
    stored = np.float32(threshold)
    if up and float(stored) < threshold:
        stored = np.nextafter(stored, np.float32(np.inf))
    elif not up and float(stored) > threshold:
        stored = np.nextafter(stored, np.float32(-np.inf))
    return float(stored)
