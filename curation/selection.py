"""Flow table -> kept pairs: at most K a clip, the motion histogram of the split as flat as that allows.

The histogram's totals that can be reached under the clips' caps form the bases of a polymatroid; one of them is
majorised by all others, so it has the greatest entropy and the least variance at once. It is found by moving single
picks from fuller to emptier bins, through chains of clips, until no chain from a bin to one with two fewer is left
(docs/selection.md has the argument). The state is one row of counts a clip: tables are streamed, part by part.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.config import CurationConfig
from curation.flow_table import read_rows
from curation.ranking import hash64, pair_ranks
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

Counts = NDArray[np.int64]


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


def bin_edges(config: CurationConfig) -> tuple[int, ...]:
    """Edges of the unit-wide bins, at whole pixels, as the model's motion embedding reads whole pixels."""
    return tuple(range(math.floor(config.min_motion), math.ceil(config.max_motion) + 1))


def select_pairs(parts: Iterable[Path], splits: dict[str, str], config: CurationConfig) -> dict[str, Selection]:
    """Choose the pairs of each split: a function of the measurements, the thresholds and the seed alone.

    `splits` tells the split of every clip that can be selected from. Reads each part of the flow table twice, one at
    a time, and holds counts by clip and bin and the kept pairs.
    """
    paths = list(parts)
    keys = sorted(splits, key=lambda key: (hash64(config.seed, "order", key), key))
    numbers = {key: number for number, key in enumerate(keys)}
    in_range, quotas = _count_bins(paths, numbers, config)
    too_few = in_range.sum(axis=1) < config.min_pairs
    quotas[too_few] = 0
    available = np.where(too_few[:, None], 0, in_range)
    members = {
        split: np.array([number for key, number in numbers.items() if splits[key] == split])
        for split in SPLITS
        if split in splits.values()
    }
    for clips in members.values():
        quotas[clips] = flatten_histogram(quotas[clips], available[clips])
    chosen: dict[str, list[pa.Table]] = {split: [SELECTION_SCHEMA.empty_table()] for split in members}
    for path in paths:
        for key, rows in _clips_in_range(path, numbers, config):
            if quotas[numbers[key]].any():
                chosen[splits[key]].append(_choose(key, rows, quotas[numbers[key]], config))
    order = [(name, "ascending") for name in ("clip_key", "source_index", "target_index")]
    return {
        split: Selection(
            pairs=pa.concat_tables(chosen[split]).sort_by(order),
            num_in_range={keys[number]: int(in_range[number].sum()) for number in clips},
            in_range_histogram=tuple(in_range[clips].sum(axis=0).tolist()),
            kept_histogram=tuple(quotas[clips].sum(axis=0).tolist()),
        )
        for split, clips in members.items()
    }


def _count_bins(paths: Iterable[Path], numbers: dict[str, int], config: CurationConfig) -> tuple[Counts, Counts]:
    """Count by clip and bin, int64 [clips, bins]: the pairs in range, and those that a plain draw takes of them."""
    num_bins = len(bin_edges(config)) - 1
    in_range = np.zeros((len(numbers), num_bins), dtype=np.int64)
    drawn = np.zeros_like(in_range)
    for path in paths:
        for key, rows in _clips_in_range(path, numbers, config):
            bins = _bins_of(rows, config)
            first = np.argsort(_ranks_of(key, rows, config), kind="stable")[: config.pairs_per_gif]
            in_range[numbers[key]] = np.bincount(bins, minlength=num_bins)
            drawn[numbers[key]] = np.bincount(bins[first], minlength=num_bins)
    return in_range, drawn


def flatten_histogram(quotas: Counts, available: Counts) -> Counts:
    """Move picks between bins, clip by clip, until the totals by bin are as flat as they can be.

    `quotas` and `available` are [clips, bins]; picks of a clip stay as many as they are, and at most `available` in
    each bin. The totals returned are majorised by every other reachable ones. Earlier clips are moved first.
    """
    quotas = quotas.copy()
    while True:
        totals = quotas.sum(axis=0)
        movable = (quotas > 0).T.astype(np.float32) @ (quotas < available).astype(np.float32)
        chain = _steepest_chain(totals, movable)
        if chain is None:
            return quotas
        steps = list(itertools.pairwise(chain))
        gap = int(totals[chain[0]] - totals[chain[-1]])
        num_moved = min(gap // 2, *(int(movable[step]) for step in steps))
        for start, end in steps:
            clips = np.flatnonzero((quotas[:, start] > 0) & (quotas[:, end] < available[:, end]))[:num_moved]
            quotas[clips, start] -= 1
            quotas[clips, end] += 1


def _steepest_chain(totals: Counts, movable: NDArray[np.float32]) -> list[int] | None:
    """Find a shortest chain between the two bins that differ most of those that one joins; None below 2."""
    best: list[int] | None = None
    best_gap = 1
    for start in np.argsort(-totals, kind="stable"):
        if totals[start] - totals.min() <= best_gap:
            break
        came_from = {int(start): -1}
        queue = [int(start)]
        for bin_ in queue:
            for end in np.flatnonzero(movable[bin_] > 0).tolist():
                if end not in came_from:
                    came_from[end] = bin_
                    queue.append(end)
        lightest = min(queue, key=lambda bin_: (totals[bin_], bin_))
        if totals[start] - totals[lightest] > best_gap:
            best_gap = int(totals[start] - totals[lightest])
            best = [lightest]
            while came_from[best[0]] >= 0:
                best.insert(0, came_from[best[0]])
    return best


def _clips_in_range(path: Path, numbers: dict[str, int], config: CurationConfig) -> Iterable[tuple[str, pa.Table]]:
    """Each wanted clip of a part with its rows in range, in the order of source and target."""
    rows = read_rows(path).select(SELECTION_SCHEMA.names)
    motion = rows["motion_px"].cast(pa.float64())
    rows = rows.filter(pc.and_(pc.greater_equal(motion, config.min_motion), pc.less_equal(motion, config.max_motion)))
    rows = rows.combine_chunks()
    if not rows.num_rows:
        return
    keys = rows["clip_key"].chunk(0)
    codes = keys.indices.to_numpy()
    order = np.lexsort((rows["target_index"].to_numpy(), rows["source_index"].to_numpy(), codes))
    rows, codes = rows.take(pa.array(order)), codes[order]
    starts = np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))
    for start, end in zip(starts, [*starts[1:], len(codes)], strict=True):
        key = keys.dictionary[int(codes[start])].as_py()
        if key in numbers:
            yield key, rows.slice(start, end - start)


def _bins_of(rows: pa.Table, config: CurationConfig) -> NDArray[np.int64]:
    edges = bin_edges(config)
    bins: NDArray[np.int64] = np.clip(rows["motion_px"].to_numpy().astype(np.int64) - edges[0], 0, len(edges) - 2)
    return bins


def _ranks_of(key: str, rows: pa.Table, config: CurationConfig) -> NDArray[np.uint64]:
    return pair_ranks(config.seed, key, rows["source_index"].to_numpy(), rows["target_index"].to_numpy())


def _choose(key: str, rows: pa.Table, quota: Counts, config: CurationConfig) -> pa.Table:
    """Take the pairs of lowest rank in each bin, as many as the clip's quota there."""
    bins, ranks = _bins_of(rows, config), _ranks_of(key, rows, config)
    order: NDArray[Any] = np.lexsort((ranks, bins))
    place_in_bin = np.arange(len(order)) - np.searchsorted(bins[order], bins[order])
    taken = np.sort(order[place_in_bin < quota[bins[order]]])
    return rows.take(pa.array(taken)).cast(SELECTION_SCHEMA)
