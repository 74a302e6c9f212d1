"""Flow table -> kept pairs: up to K from each clip, with each split's motion histogram as near its target as possible.

The parts of the table are read twice: once to count pairs by clip and bin (`pair_counts.py`), once to take them. In
between, `flatten.py` computes how many pairs each clip gives to each bin. Memory holds only counts and kept pairs.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.config import CurationConfig
from curation.flow.read_columns import read_part_columns, read_parts_concurrently
from curation.selection.flatten import flatten_histogram
from curation.selection.pair_counts import (
    PairCounts,
    compute_bin_edges,
    count_pairs,
    find_lowest_ranked,
    find_rows_in_range,
    list_filter_columns,
)
from curation.target_histogram import compute_bin_weights
from shards.schema import SPLITS
from shards.seeded_hash import hash64
from shards.storage.location import Location

SELECTION_SCHEMA = pa.schema(
    [
        pa.field("clip_key", pa.dictionary(pa.int32(), pa.string())),
        pa.field("source_index", pa.int32()),
        pa.field("target_index", pa.int32()),
        pa.field("gap_ms", pa.int64()),
        pa.field("motion_px", pa.float32()),
        pa.field("across_cut", pa.bool_()),
    ]
)
"""Kept pairs, sorted by clip, source and target. The dictionary holds the clips with kept pairs, sorted."""

_KEPT_PAIR = np.dtype([("order", np.uint64), ("gap_ms", np.int64), ("motion_px", np.float32), ("across_cut", np.bool_)])
"""A kept pair in 21 bytes. `order` packs clip, source and target into one number to sort by."""
_FRAME_BITS = 14
"""A clip has at most 10,000 frames."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitQuotas:
    """How many pairs of a split are in range and how many will be kept."""

    clip_keys: tuple[str, ...]
    num_in_range: NDArray[np.int64]
    """Pairs in range of each clip, [clips]."""
    num_kept: NDArray[np.int64]
    """Pairs to keep of each clip, [clips]."""
    in_range_histogram: tuple[int, ...]
    """Pairs in range by motion bin."""
    kept_histogram: tuple[int, ...]
    """Pairs to keep by motion bin."""

    @property
    def kept_clips(self) -> dict[str, int]:
        """Number of pairs to keep, by clip key, of clips that have any."""
        kept = np.flatnonzero(self.num_kept).tolist()
        return {self.clip_keys[index]: int(self.num_kept[index]) for index in kept}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection(SplitQuotas):
    """The kept pairs of a split, and the counts that they were chosen by."""

    pairs: pa.Table
    """SELECTION_SCHEMA."""


def select_pairs(parts: Iterable[Location], splits: Mapping[str, str], config: CurationConfig) -> dict[str, Selection]:
    """Select the pairs of each split: a function of the measurements, the thresholds and the seed.

    `splits` maps every clip that pairs may be selected from to its split. Each part of the flow table is read twice.
    """
    clip_keys, kept, quotas = _take_pairs(list(parts), splits, config)
    return {
        split: Selection(**vars(split_quotas), pairs=_make_table(kept.pop(split), clip_keys))
        for split, split_quotas in quotas.items()
    }


def compute_quotas(
    parts: Iterable[Location], splits: Mapping[str, str], config: CurationConfig
) -> dict[str, SplitQuotas]:
    """Compute how many pairs `select_pairs` would keep of each clip and bin, by split; reads each part once."""
    return _compute_quotas(list(parts), splits, config).by_split


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Quotas:
    """The quotas of all splits, without the counts by clip and bin that they were computed from, to free memory."""

    clip_keys: tuple[str, ...]
    bins: NDArray[np.int64]
    """The bin of each column of `num_kept`, ascending; [columns]."""
    num_kept: NDArray[np.int32]
    """Pairs to keep by clip and bin, [clips, columns]."""
    by_split: dict[str, SplitQuotas]


def _take_pairs(
    paths: list[Location], splits: Mapping[str, str], config: CurationConfig
) -> tuple[list[str], dict[str, list[NDArray[np.void]]], dict[str, SplitQuotas]]:
    """Take the pairs of all splits: returns the clips with kept pairs, sorted; kept pairs and quotas by split."""
    quotas = _compute_quotas(paths, splits, config)
    numbers = {quotas.clip_keys[number]: number for number in np.flatnonzero(quotas.num_kept.any(axis=1)).tolist()}
    clip_keys = sorted(numbers)
    positions = np.zeros(len(quotas.clip_keys), dtype=np.uint64)
    positions[[numbers[key] for key in clip_keys]] = np.arange(len(clip_keys))
    split_of = np.array([SPLITS.index(splits[key]) for key in clip_keys], dtype=np.int8)
    bin_columns = np.searchsorted(quotas.bins, np.arange(len(compute_bin_edges(config)) - 1))
    kept: dict[str, list[NDArray[np.void]]] = {split: [np.empty(0, _KEPT_PAIR)] for split in quotas.by_split}
    for pairs in read_parts_concurrently(
        paths, lambda path: _take_from_part(path, numbers, quotas.num_kept, bin_columns, positions, config)
    ):
        split_numbers = split_of[(pairs["order"] >> np.uint64(2 * _FRAME_BITS)).astype(np.int64)]
        for number in np.unique(split_numbers).tolist():
            kept[SPLITS[number]].append(pairs[split_numbers == number])
    return clip_keys, kept, quotas.by_split


def _compute_quotas(paths: list[Location], splits: Mapping[str, str], config: CurationConfig) -> _Quotas:
    clip_keys = sorted(splits)
    random_order = np.array([hash64(config.seed, "order", key) for key in clip_keys], dtype=np.uint64)
    shuffled = [clip_keys[index] for index in np.argsort(random_order, kind="stable").tolist()]
    counts = count_pairs(paths, shuffled, config)
    has_too_few = counts.in_range.sum(axis=1) < config.min_pairs
    num_kept = counts.drawn
    num_kept[has_too_few] = 0
    split_of = np.array([SPLITS.index(splits[key]) for key in counts.clip_keys], dtype=np.int8)
    by_split = {}
    for number in np.unique(split_of).tolist():
        clips = np.flatnonzero(split_of == number)
        if config.balance != "none":
            first_edge = compute_bin_edges(config)[0]
            weights = compute_bin_weights(config.balance, (counts.bins + first_edge).tolist())
            available = counts.in_range[clips]
            available[has_too_few[clips]] = 0
            num_kept[clips] = flatten_histogram(num_kept[clips], available, weights)
        by_split[SPLITS[number]] = _make_split_quotas(counts, num_kept, clips)
    return _Quotas(clip_keys=counts.clip_keys, bins=counts.bins, num_kept=num_kept, by_split=by_split)


def _make_split_quotas(counts: PairCounts, num_kept: NDArray[np.int32], clips: NDArray[np.int64]) -> SplitQuotas:
    in_range, kept = counts.in_range[clips], num_kept[clips]
    return SplitQuotas(
        clip_keys=tuple(counts.clip_keys[number] for number in clips.tolist()),
        num_in_range=in_range.sum(axis=1),
        num_kept=kept.sum(axis=1),
        in_range_histogram=counts.expand(in_range.sum(axis=0)),
        kept_histogram=counts.expand(kept.sum(axis=0)),
    )


def _take_from_part(
    path: Location,
    numbers: Mapping[str, int],
    num_kept: NDArray[np.int32],
    bin_columns: NDArray[np.int64],
    positions: NDArray[np.uint64],
    config: CurationConfig,
) -> NDArray[np.void]:
    """Take the pairs of lowest rank of each clip and bin of a part; returns them as _KEPT_PAIR, [pairs].

    `bin_columns` maps bins to columns of `num_kept`, [clips, columns]; `positions` maps clips to the sort order.
    """
    filter_columns = list_filter_columns(config)
    clip_keys, (codes, *columns, gaps, cuts) = read_part_columns(path, *filter_columns, "gap_ms", "across_cut")
    motion, sources, targets = columns[:3]
    found = find_rows_in_range(clip_keys, [codes, *columns], numbers, config)
    num_columns = num_kept.shape[1]
    num_wanted = np.zeros((len(clip_keys), num_columns), dtype=np.int64)
    num_wanted[found.clips >= 0] = num_kept[found.clips[found.clips >= 0]]
    groups = found.codes * num_columns + bin_columns[found.bins]
    taken = find_lowest_ranked(found.ranks, groups, num_wanted.ravel())
    rows = found.rows[taken]
    pairs = np.empty(len(rows), _KEPT_PAIR)
    clip = positions[found.clips[found.codes[taken]]]
    frames = (sources[rows].astype(np.uint64) << np.uint64(_FRAME_BITS)) | targets[rows].astype(np.uint64)
    pairs["order"] = (clip << np.uint64(2 * _FRAME_BITS)) | frames
    pairs["gap_ms"], pairs["motion_px"], pairs["across_cut"] = gaps[rows], motion[rows], cuts[rows]
    return pairs


def _make_table(kept: list[NDArray[np.void]], clip_keys: Sequence[str]) -> pa.Table:
    """Make a selection (SELECTION_SCHEMA) of kept pairs, and clear their list to free its memory."""
    pairs = np.concatenate(kept)
    kept.clear()
    pairs = pairs[np.argsort(pairs["order"])]
    clips = (pairs["order"] >> np.uint64(2 * _FRAME_BITS)).astype(np.int32)
    is_first = np.diff(clips, prepend=-1) > 0
    frame_mask = np.uint64((1 << _FRAME_BITS) - 1)
    columns = [
        pa.DictionaryArray.from_arrays(
            pa.array(np.cumsum(is_first, dtype=np.int32) - 1),
            pa.array([clip_keys[clip] for clip in clips[is_first].tolist()], pa.string()),
        ),
        ((pairs["order"] >> np.uint64(_FRAME_BITS)) & frame_mask).astype(np.int32),
        (pairs["order"] & frame_mask).astype(np.int32),
        pairs["gap_ms"],
        pairs["motion_px"],
        pairs["across_cut"],
    ]
    return pa.table(columns, schema=SELECTION_SCHEMA)
