"""Flow table -> kept pairs: at most K a clip, the motion histogram of each split as near its target as that allows.

Two passes over the parts of the table: one counts by clip and bin (`tally.py`), one takes the pairs. Between them
stands what each clip gives to each bin (`flatten.py`), for each split by itself. Only counts and kept pairs are held.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.config import CurationConfig
from curation.flow.read_columns import read_part_columns, read_parts_concurrently
from curation.seeds import hash64
from curation.selection.flatten import flatten_histogram
from curation.selection.pair_counts import (
    Tally,
    bin_edges,
    count_pairs,
    deciding_columns,
    lowest_ranked,
    rows_in_range,
)
from curation.target_histogram import compute_bin_weights
from shards.location import Location
from shards.schema import SPLITS

SELECTION_SCHEMA = pa.schema(
    [
        pa.field("clip_key", pa.dictionary(pa.int32(), pa.string())),
        pa.field("source_index", pa.int32()),
        pa.field("target_index", pa.int32()),
        pa.field("gap_ms", pa.int32()),
        pa.field("motion_px", pa.float32()),
        pa.field("across_cut", pa.bool_()),
    ]
)
"""Kept pairs, ordered by clip, source and target; the dictionary holds the clips that give any, in order."""

_CHOSEN = np.dtype([("place", np.uint64), ("gap_ms", np.int32), ("motion_px", np.float32), ("across_cut", np.bool_)])
"""A kept pair as long as there are many: `place` is clip, source and target in one number, by which it is ordered."""
_FRAME_BITS = 14
"""A clip has 10,000 frames at most."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitQuotas:
    """What is to be taken of one split, before any pair is."""

    clip_keys: tuple[str, ...]
    """Every clip that was counted."""
    num_in_range: NDArray[np.int64]
    """Pairs in range of each, [clips]."""
    num_kept: NDArray[np.int64]
    """Pairs that will be taken of each, [clips]."""
    in_range_histogram: tuple[int, ...]
    """Pairs in range by bin, before selection."""
    kept_histogram: tuple[int, ...]

    @property
    def kept_clips(self) -> dict[str, int]:
        """Pairs that will be taken, by clip key; clips that give none are absent."""
        kept = np.flatnonzero(self.num_kept).tolist()
        return {self.clip_keys[place]: int(self.num_kept[place]) for place in kept}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection(SplitQuotas):
    """What was kept of one split, and what there was."""

    pairs: pa.Table
    """SELECTION_SCHEMA."""


def select_pairs(parts: Iterable[Location], splits: Mapping[str, str], config: CurationConfig) -> dict[str, Selection]:
    """Choose the pairs of each split: a function of the measurements, the thresholds and the seed alone.

    `splits` tells the split of every clip that can be selected from. Reads each part of the flow table twice.
    """
    in_order, chosen, by_split = _choose_all(list(parts), splits, config)
    return {
        split: Selection(**vars(found), pairs=_tabulate(chosen.pop(split), in_order))
        for split, found in by_split.items()
    }


def set_quotas(parts: Iterable[Location], splits: Mapping[str, str], config: CurationConfig) -> dict[str, SplitQuotas]:
    """Tell how many pairs `select_pairs` would take, of which clips and bins; reads each part once."""
    return _set_quotas(list(parts), splits, config)[3]


def _choose_all(
    paths: list[Location], splits: Mapping[str, str], config: CurationConfig
) -> tuple[list[str], dict[str, list[NDArray[np.void]]], dict[str, SplitQuotas]]:
    """Take every split's pairs; returns the clips that give any, ordered, and by split the pairs and the quotas.

    A function of its own, so that what each clip gives to each bin is forgotten when it is done.
    """
    keys, quotas, bins, by_split = _set_quotas(paths, splits, config)
    numbers = {keys[number]: number for number in np.flatnonzero(quotas.any(axis=1)).tolist()}
    in_order = sorted(numbers)
    places = np.zeros(len(keys), dtype=np.uint64)
    places[[numbers[key] for key in in_order]] = np.arange(len(in_order))
    split_of = np.array([SPLITS.index(splits[key]) for key in in_order], dtype=np.int8)
    columns_of_bin = np.searchsorted(bins, np.arange(len(bin_edges(config)) - 1))
    chosen: dict[str, list[NDArray[np.void]]] = {split: [np.empty(0, _CHOSEN)] for split in by_split}
    for taken in read_parts_concurrently(
        paths, lambda path: _choose(path, numbers, quotas, columns_of_bin, places, config)
    ):
        at = split_of[(taken["place"] >> np.uint64(2 * _FRAME_BITS)).astype(np.int64)]
        for number in np.unique(at).tolist():
            chosen[SPLITS[number]].append(taken[at == number])
    return in_order, chosen, by_split


def _set_quotas(
    paths: list[Location], splits: Mapping[str, str], config: CurationConfig
) -> tuple[tuple[str, ...], NDArray[np.int32], NDArray[np.int64], dict[str, SplitQuotas]]:
    """Count; returns the clips, what each gives to each bin of any pair, [clips, bins], these bins, and by split."""
    keys = sorted(splits)
    drawn = np.array([hash64(config.seed, "order", key) for key in keys], dtype=np.uint64)
    tally = count_pairs(paths, [keys[place] for place in np.argsort(drawn, kind="stable").tolist()], config)
    left_out = tally.in_range.sum(axis=1) < config.min_pairs
    quotas = tally.drawn
    quotas[left_out] = 0
    split_of = np.array([SPLITS.index(splits[key]) for key in tally.keys], dtype=np.int8)
    by_split = {}
    for number in np.unique(split_of).tolist():
        clips = np.flatnonzero(split_of == number)
        if config.balance != "none":
            weights = compute_bin_weights(config.balance, (tally.bins + bin_edges(config)[0]).tolist())
            available = tally.in_range[clips]
            available[left_out[clips]] = 0
            quotas[clips] = flatten_histogram(quotas[clips], available, weights)
        by_split[SPLITS[number]] = _describe(tally, quotas, clips)
    return tally.keys, quotas, tally.bins, by_split


def _describe(tally: Tally, quotas: NDArray[np.int32], clips: NDArray[np.int64]) -> SplitQuotas:
    in_range, kept = tally.in_range[clips], quotas[clips]
    return SplitQuotas(
        clip_keys=tuple(tally.keys[number] for number in clips.tolist()),
        num_in_range=in_range.sum(axis=1),
        num_kept=kept.sum(axis=1),
        in_range_histogram=tally.spread(in_range.sum(axis=0)),
        kept_histogram=tally.spread(kept.sum(axis=0)),
    )


def _choose(
    path: Location,
    numbers: Mapping[str, int],
    quotas: NDArray[np.int32],
    columns_of_bin: NDArray[np.int64],
    places: NDArray[np.uint64],
    config: CurationConfig,
) -> NDArray[np.void]:
    """Take of each clip and bin of a part the pairs of lowest rank, as many as the clip's quota there; [pairs]."""
    keys, (codes, *columns, gaps, cuts) = read_part_columns(path, *deciding_columns(config), "gap_ms", "across_cut")
    motion, sources, targets = columns[:3]
    found = rows_in_range(keys, [codes, *columns], numbers, config)
    num_columns = quotas.shape[1]
    num_wanted = np.zeros((len(keys), num_columns), dtype=np.int64)
    wanted = np.array(found.clips, dtype=np.int64)
    num_wanted[wanted >= 0] = quotas[wanted[wanted >= 0]]
    groups = found.codes * num_columns + columns_of_bin[found.bins]
    taken = lowest_ranked(found.ranks, groups, num_wanted.ravel())
    rows = found.rows[taken]
    chosen = np.empty(len(rows), _CHOSEN)
    clip = places[wanted[found.codes[taken]]]
    frames = (sources[rows].astype(np.uint64) << np.uint64(_FRAME_BITS)) | targets[rows].astype(np.uint64)
    chosen["place"] = (clip << np.uint64(2 * _FRAME_BITS)) | frames
    chosen["gap_ms"], chosen["motion_px"] = gaps[rows], motion[rows]
    chosen["across_cut"] = cuts[rows]
    return chosen


def _tabulate(chosen: list[NDArray[np.void]], keys: Sequence[str]) -> pa.Table:
    """Make a selection (SELECTION_SCHEMA) of pairs, and empty the list of them; `keys` are the clips', by place."""
    pairs = np.concatenate(chosen)
    chosen.clear()
    pairs = pairs[np.argsort(pairs["place"])]
    clips = (pairs["place"] >> np.uint64(2 * _FRAME_BITS)).astype(np.int32)
    is_first = np.diff(clips, prepend=-1) > 0
    frame = np.uint64((1 << _FRAME_BITS) - 1)
    columns = [
        pa.DictionaryArray.from_arrays(
            pa.array(np.cumsum(is_first, dtype=np.int32) - 1),
            pa.array([keys[clip] for clip in clips[is_first].tolist()], pa.string()),
        ),
        ((pairs["place"] >> np.uint64(_FRAME_BITS)) & frame).astype(np.int32),
        (pairs["place"] & frame).astype(np.int32),
        pairs["gap_ms"],
        pairs["motion_px"],
        pairs["across_cut"],
    ]
    return pa.table(columns, schema=SELECTION_SCHEMA)
