"""Parts of the flow table, and kept pairs -> motion against time gap, counted.

A table of any length is read part by part, two or three columns of it, and becomes one small array of counts.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.flow.read_columns import read_part_columns, read_parts_concurrently
from curation.inspection.report.report_data import GapMotion, Grid
from shards.location import Location

GAP_EDGES_MS = (0, 50, 100, 150, 200, 300, 400, 500, 750, 1000, 1500, 2000, 3000, 5000, 10_000)
"""The last bin holds all from its lower edge on."""
_END_PX = 40
"""From here on motions are shown together."""
_ROW_PX = 2
_STEPS_PER_PX = 4
_ROWS_AT_A_TIME = 65_536
_FAR_PX = 100
"""From here on motions are counted together."""
_NUM_STEPS = _FAR_PX * _STEPS_PER_PX + 1
_GAP_BIN = np.searchsorted(GAP_EDGES_MS[:-1], np.arange(GAP_EDGES_MS[-2] + 1), side="right") - 1
_SHOWN_SHARES = (0.1, 0.5, 0.9)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairCounts:
    """Pairs by gap and by motion."""

    by_gap: NDArray[np.int64]
    """[gap bins, quarters of a pixel]; the last quarter holds all from 100 px on."""
    num_across_cut: int

    @classmethod
    def of(cls, gap_ms: NDArray[Any], motion_px: NDArray[Any], across_cut: NDArray[Any]) -> "PairCounts":
        """Count pairs; arrays are [pairs]."""
        step = np.minimum(motion_px * _STEPS_PER_PX, _NUM_STEPS - 1).astype(np.int64)
        cell = _GAP_BIN[np.clip(gap_ms, 0, len(_GAP_BIN) - 1)] * _NUM_STEPS + step
        counts = np.bincount(cell, minlength=(len(GAP_EDGES_MS) - 1) * _NUM_STEPS)
        return cls(by_gap=counts.reshape(-1, _NUM_STEPS), num_across_cut=int(np.count_nonzero(across_cut)))

    def __add__(self, other: "PairCounts") -> "PairCounts":
        return PairCounts(by_gap=self.by_gap + other.by_gap, num_across_cut=self.num_across_cut + other.num_across_cut)

    @property
    def motion_histogram(self) -> tuple[int, ...]:
        """Pairs by whole pixels of motion; the last bin holds all from 40 px on."""
        return tuple(_sum_bins(self.by_gap.sum(axis=0), 1).tolist())

    def summarize(self) -> GapMotion:
        """Lay the counts out as they are shown."""
        rows = np.stack([_sum_bins(counts, _ROW_PX) for counts in self.by_gap])
        return GapMotion(
            grid=Grid(
                column_edges=GAP_EDGES_MS,
                row_edges=(*range(0, _END_PX + 1, _ROW_PX), _END_PX + _ROW_PX),
                counts=tuple(tuple(counts) for counts in rows.tolist()),
            ),
            spread=tuple(_spread_of(counts) for counts in self.by_gap),
        )


_NOTHING = PairCounts.of(np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, bool))


def count_measured(parts: Iterable[Location]) -> PairCounts:
    """Count all pairs of a flow table. Raises DatasetError where a part is damaged."""
    return sum(read_parts_concurrently(parts, _count_part), start=_NOTHING)


def count_kept(selections: Iterable[pa.Table]) -> PairCounts:
    """Count kept pairs, tables of SELECTION_SCHEMA."""
    columns = ("gap_ms", "motion_px", "across_cut")
    # Some at a time: counting takes several times the memory of what is counted.
    batches = (some for pairs in selections for some in pairs.select(columns).to_batches(_ROWS_AT_A_TIME))
    counted = (PairCounts.of(*(some[name].to_numpy(zero_copy_only=False) for name in columns)) for some in batches)
    return sum(counted, start=_NOTHING)


def _count_part(path: Location) -> PairCounts:
    _, (_, *columns) = read_part_columns(path, "gap_ms", "motion_px", "across_cut")
    return PairCounts.of(*columns)


def _sum_bins(steps: NDArray[np.int64], width_px: int) -> NDArray[np.int64]:
    """Sum counts by quarters of a pixel into bins of whole pixels; the last holds all from 40 px on."""
    end = _END_PX * _STEPS_PER_PX
    return np.append(steps[:end].reshape(-1, width_px * _STEPS_PER_PX).sum(axis=1), steps[end:].sum())


def _spread_of(steps: NDArray[np.int64]) -> tuple[float, float, float] | None:
    """Find the motion that shares of the pairs do not pass, to a quarter of a pixel."""
    if not steps.any():
        return None
    low, middle, high = (
        int(np.searchsorted(np.cumsum(steps), share * steps.sum())) / _STEPS_PER_PX for share in _SHOWN_SHARES
    )
    return low, middle, high
