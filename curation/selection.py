"""Flow table -> kept pairs: at most K a clip, the motion histogram of each split as near its target as that allows.

Two passes over the parts of the table: one counts by clip and bin (`tally.py`), one takes the pairs. Between them
stands what each clip gives to each bin (`flatten.py`), for each split by itself. Only counts and kept pairs are held.
"""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.balance import bin_weights
from curation.config import CurationConfig
from curation.flatten import flatten_histogram
from curation.ranking import hash64
from curation.tally import (
    Tally,
    bin_edges,
    count_pairs,
    deciding_columns,
    lowest_ranked,
    read_part_columns,
    read_parts_abreast,
    rows_in_range,
)
from shards.location import Location
from shards.schema import SPLITS

SELECTION_SCHEMA = pa.schema(
    [
        pa.field("clip_key", pa.string()),
        pa.field("source_index", pa.int32()),
        pa.field("target_index", pa.int32()),
        pa.field("gap_ms", pa.int32()),
        pa.field("motion_px", pa.float32()),
    ]
)
"""Kept pairs, ordered by clip, source and target."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitQuotas:
    """What is to be taken of one split, before any pair is."""

    num_in_range: dict[str, int]
    """Pairs in range by clip, for every clip that was counted."""
    num_kept: dict[str, int]
    """Pairs that will be taken, by clip; clips that give none are absent."""
    in_range_histogram: tuple[int, ...]
    """Pairs in range by bin, before selection."""
    kept_histogram: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection:
    """What was kept of one split, and what there was."""

    pairs: pa.Table
    """SELECTION_SCHEMA."""
    num_in_range: dict[str, int]
    """Pairs in range by clip, for every clip that was counted."""
    in_range_histogram: tuple[int, ...]
    """Pairs in range by bin, before selection."""
    kept_histogram: tuple[int, ...]


def select_pairs(parts: Iterable[Location], splits: Mapping[str, str], config: CurationConfig) -> dict[str, Selection]:
    """Choose the pairs of each split: a function of the measurements, the thresholds and the seed alone.

    `splits` tells the split of every clip that can be selected from. Reads each part of the flow table twice.
    """
    paths = list(parts)
    tally, quotas, by_split = _set_quotas(paths, splits, config)
    numbers = {key: number for number, key in enumerate(tally.keys) if quotas[number].any()}
    chosen: dict[str, list[pa.Table]] = {split: [SELECTION_SCHEMA.empty_table()] for split in by_split}
    columns_of_bin = np.searchsorted(tally.bins, np.arange(tally.num_bins))
    for taken in read_parts_abreast(paths, lambda path: _choose(path, numbers, quotas, columns_of_bin, config)):
        for split, rows in _apart(taken, splits).items():
            chosen[split].append(rows)
    order = [(name, "ascending") for name in ("clip_key", "source_index", "target_index")]
    return {
        split: Selection(
            pairs=pa.concat_tables(chosen[split]).sort_by(order),
            num_in_range=found.num_in_range,
            in_range_histogram=found.in_range_histogram,
            kept_histogram=found.kept_histogram,
        )
        for split, found in by_split.items()
    }


def set_quotas(parts: Iterable[Location], splits: Mapping[str, str], config: CurationConfig) -> dict[str, SplitQuotas]:
    """Tell how many pairs `select_pairs` would take, of which clips and bins; reads each part once."""
    return _set_quotas(list(parts), splits, config)[2]


def _set_quotas(
    paths: list[Location], splits: Mapping[str, str], config: CurationConfig
) -> tuple[Tally, NDArray[np.int32], dict[str, SplitQuotas]]:
    """Count; returns the counts, what each clip gives to each of their columns, and the same by split."""
    keys = sorted(splits, key=lambda key: (hash64(config.seed, "order", key), key))
    tally = count_pairs(paths, keys, config)
    left_out = tally.in_range.sum(axis=1) < config.min_pairs
    quotas = np.where(left_out[:, None], 0, tally.drawn)
    available = np.where(left_out[:, None], 0, tally.in_range)
    split_of = np.array([SPLITS.index(splits[key]) for key in keys], dtype=np.int64)
    by_split = {}
    for number in np.unique(split_of).tolist():
        clips = np.flatnonzero(split_of == number)
        if config.balance != "none":
            weights = bin_weights(config.balance, (tally.bins + bin_edges(config)[0]).tolist())
            quotas[clips] = flatten_histogram(quotas[clips], available[clips], weights)
        by_split[SPLITS[number]] = _describe(tally, quotas, clips)
    return tally, quotas, by_split


def _describe(tally: Tally, quotas: NDArray[np.int32], clips: NDArray[np.int64]) -> SplitQuotas:
    num_in_range, num_kept = tally.in_range[clips].sum(axis=1).tolist(), quotas[clips].sum(axis=1).tolist()
    keys = [tally.keys[number] for number in clips]
    return SplitQuotas(
        num_in_range=dict(zip(keys, num_in_range, strict=True)),
        num_kept={key: number for key, number in zip(keys, num_kept, strict=True) if number},
        in_range_histogram=tally.spread(tally.in_range[clips].sum(axis=0)),
        kept_histogram=tally.spread(quotas[clips].sum(axis=0)),
    )


def _choose(
    path: Location,
    numbers: Mapping[str, int],
    quotas: NDArray[np.int32],
    columns_of_bin: NDArray[np.int64],
    config: CurationConfig,
) -> pa.Table:
    """Take of each clip and bin of a part the pairs of lowest rank, as many as the clip's quota there."""
    keys, (codes, *columns, gaps) = read_part_columns(path, *deciding_columns(config), "gap_ms")
    motion, sources, targets = columns[:3]
    found = rows_in_range(keys, [codes, *columns], numbers, config)
    num_columns = quotas.shape[1]
    num_wanted = np.zeros((len(keys), num_columns), dtype=np.int64)
    wanted = np.array(found.clips, dtype=np.int64)
    num_wanted[wanted >= 0] = quotas[wanted[wanted >= 0]]
    groups = found.codes * num_columns + columns_of_bin[found.bins]
    rows = found.rows[np.sort(lowest_ranked(found.ranks, groups, num_wanted.ravel()))]
    names = pa.array(keys, pa.string()).take(pa.array(codes[rows]))
    return pa.table([names, sources[rows], targets[rows], gaps[rows], motion[rows]], schema=SELECTION_SCHEMA)


def _apart(taken: pa.Table, splits: Mapping[str, str]) -> dict[str, pa.Table]:
    """Part rows by the split of their clips."""
    at = np.array([SPLITS.index(splits[key]) for key in taken["clip_key"].to_pylist()], dtype=np.int64)
    return {SPLITS[number]: taken.filter(pa.array(at == number)) for number in np.unique(at).tolist()}
