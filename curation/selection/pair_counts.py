"""Parts of the flow table -> counts of pairs by clip and motion bin, which is all that selection holds in memory.

Parts are read concurrently, and only the columns that are needed. All operations are on whole columns, so a hundred
million pairs take seconds.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.config import CurationConfig
from curation.flow.read_columns import read_part_columns, read_parts_concurrently
from curation.seeds import derive_clip_seed, rank_pairs
from shards.storage.location import Location

_CANDIDATES_PER_WANTED = 3
_EXTRA_CANDIDATES = 16


def compute_bin_edges(config: CurationConfig) -> tuple[int, ...]:
    """Return the edges in pixels of bins one pixel wide, which is the unit of the model's motion embedding."""
    return tuple(range(math.floor(config.min_motion), math.ceil(config.max_motion) + 1))


def list_filter_columns(config: CurationConfig) -> tuple[str, ...]:
    """Return the columns of the flow table by which pairs are filtered and ranked."""
    cuts = ("across_cut",) if config.drop_cuts else ()
    return ("motion_px", "source_index", "target_index", *cuts)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairCounts:
    """Numbers of pairs, [clips, columns], with a column for every bin that has a pair."""

    clip_keys: tuple[str, ...]
    bins: NDArray[np.int64]
    """The bin of each column, ascending; [columns]."""
    num_bins: int
    """All bins, including empty ones."""
    in_range: NDArray[np.int32]
    """Pairs in the motion range."""
    drawn: NDArray[np.int32]
    """Of these, the pairs of a plain random draw: each clip's pairs of lowest rank, up to the cap."""

    def expand(self, counts: NDArray[Any]) -> tuple[int, ...]:
        """Return counts of columns, [columns], as counts of all bins."""
        expanded = np.zeros(self.num_bins, dtype=np.int64)
        expanded[self.bins] = counts
        return tuple(expanded.tolist())


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowsInRange:
    """The rows of one part that may be kept; arrays are [rows]."""

    clips: NDArray[np.int64]
    """The number of each clip of the part, -1 if the clip is not requested; [clips]."""
    rows: NDArray[np.int64]
    """Row indices in the part, ascending."""
    codes: NDArray[np.int64]
    """Indices into `clips`."""
    bins: NDArray[np.int64]
    ranks: NDArray[np.uint64]
    """A function of seed, clip key and pair."""


def count_pairs(paths: Iterable[Location], clip_keys: Iterable[str], config: CurationConfig) -> PairCounts:
    """Count the pairs of these clips by bin; each part is read once."""
    clip_keys = tuple(clip_keys)
    numbers = {key: number for number, key in enumerate(clip_keys)}
    num_bins = len(compute_bin_edges(config)) - 1
    parts = list(read_parts_concurrently(paths, lambda path: _count_part(path, numbers, config)))
    has_pairs = np.zeros(num_bins, dtype=bool)
    for part in parts:
        has_pairs[part.cells % num_bins] = True
    bins = np.flatnonzero(has_pairs)
    in_range, drawn = (np.zeros((len(clip_keys), len(bins)), dtype=np.int32) for _ in range(2))
    for part in parts:
        cells = part.cells // num_bins, np.searchsorted(bins, part.cells % num_bins)
        in_range[cells], drawn[cells] = part.in_range, part.drawn
    return PairCounts(clip_keys=clip_keys, bins=bins, num_bins=num_bins, in_range=in_range, drawn=drawn)


def find_rows_in_range(
    clip_keys: list[str], columns: list[NDArray[Any]], numbers: Mapping[str, int], config: CurationConfig
) -> RowsInRange:
    """Find the rows of a part that may be kept.

    `clip_keys` are those of the part; `columns` are the codes of its rows, and the columns of `list_filter_columns`.
    `numbers` are the numbers of the requested clips.
    """
    codes, motion, sources, targets, *across_cuts = columns
    clips = np.array([numbers.get(key, -1) for key in clip_keys], dtype=np.int64)
    # Comparing in float32, as motion is stored, is exact and twice as fast.
    low, high = _round_to_float32(config.min_motion, up=True), _round_to_float32(config.max_motion, up=False)
    in_range = (motion >= low) & (motion <= high)
    for across_cut in across_cuts:
        in_range &= ~across_cut
    if -1 in clips:
        in_range &= (clips >= 0)[codes]
    rows = np.flatnonzero(in_range)
    codes, edges = codes[rows].astype(np.int64), compute_bin_edges(config)
    seeds = np.array([derive_clip_seed(config.seed, key) for key in clip_keys], dtype=np.uint64)
    return RowsInRange(
        clips=clips,
        rows=rows,
        codes=codes,
        bins=np.minimum(motion[rows].astype(np.int64) - edges[0], len(edges) - 2),
        ranks=rank_pairs(seeds[codes], sources[rows], targets[rows]),
    )


def find_lowest_ranked(
    ranks: NDArray[np.uint64], groups: NDArray[np.int64], num_wanted: NDArray[Any]
) -> NDArray[np.int64]:
    """Return the rows of lowest rank in each group: `num_wanted` [groups] of them, or all if there are fewer.

    Ranks are uniformly distributed, so a threshold removes nearly all rows before they are sorted. All rows of a group
    are sorted if the threshold leaves it too few.
    """
    num_rows = np.bincount(groups, minlength=len(num_wanted))
    share = (_CANDIDATES_PER_WANTED * num_wanted + _EXTRA_CANDIDATES) / np.maximum(num_rows, 1)
    thresholds = np.where(share < 1, np.minimum(share, 0.999) * 2.0**64, 0).astype(np.uint64)
    thresholds[share >= 1] = np.iinfo(np.uint64).max
    thresholds[num_wanted == 0] = 0
    is_candidate = ranks <= thresholds[groups]
    has_too_few = np.bincount(groups[is_candidate], minlength=len(num_wanted)) < np.minimum(num_wanted, num_rows)
    if has_too_few.any():
        is_candidate |= has_too_few[groups]
    candidates = np.flatnonzero(is_candidate)
    order = candidates[np.lexsort((ranks[candidates], groups[candidates]))]
    sorted_groups = groups[order]
    position = np.arange(len(order)) - np.searchsorted(sorted_groups, sorted_groups)
    return order[position < num_wanted[sorted_groups]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _PartCounts:
    """Numbers of pairs in one part; arrays are [cells]."""

    cells: NDArray[np.int64]
    """Clip number x bins + bin, of cells that are not empty."""
    in_range: NDArray[np.int32]
    drawn: NDArray[np.int32]


def _count_part(path: Location, numbers: Mapping[str, int], config: CurationConfig) -> _PartCounts:
    clip_keys, columns = read_part_columns(path, *list_filter_columns(config))
    found = find_rows_in_range(clip_keys, columns, numbers, config)
    drawn = find_lowest_ranked(found.ranks, found.codes, np.full(len(clip_keys), config.pairs_per_gif))
    num_bins = len(compute_bin_edges(config)) - 1
    row_cells = found.codes * num_bins + found.bins
    cells, in_range = np.unique(row_cells, return_counts=True)
    num_drawn = np.bincount(np.searchsorted(cells, row_cells[drawn]), minlength=len(cells))
    return _PartCounts(
        cells=found.clips[cells // num_bins] * num_bins + cells % num_bins,
        in_range=in_range.astype(np.int32),
        drawn=num_drawn.astype(np.int32),
    )


def _round_to_float32(threshold: float, *, up: bool) -> float:
    """Return the nearest float32 that is not below the threshold, or with `up` false, not above it."""
    rounded = np.float32(threshold)
    if up and float(rounded) < threshold:
        rounded = np.nextafter(rounded, np.float32(np.inf))
    elif not up and float(rounded) > threshold:
        rounded = np.nextafter(rounded, np.float32(-np.inf))
    return float(rounded)
