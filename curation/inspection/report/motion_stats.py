"""Flow table, kept pairs -> motion histograms by time gap.

Reads three columns of one part of the table at a time, so memory does not grow with the table.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.flow.read_columns import read_part_columns, read_parts_concurrently
from curation.inspection.report.report_data import Grid, MotionByGap
from shards.storage.location import Location

GAP_EDGES_MS = (0, 50, 100, 150, 200, 300, 400, 500, 750, 1000, 1500, 2000, 3000, 5000, 10_000)
"""The last bin has no upper limit."""
_LAST_BIN_PX = 40
"""Lower edge of the last bin of the shown histograms."""
_ROW_PX = 2
"""Height of a row of the motion-by-gap grid."""
_STEPS_PER_PX = 4
"""Motion is counted in steps of a quarter pixel."""
_LAST_STEP_PX = 100
"""Lower edge of the last step."""
_NUM_STEPS = _LAST_STEP_PX * _STEPS_PER_PX + 1
_ROWS_PER_BATCH = 65_536
_GAP_BIN_OF_MS = np.searchsorted(GAP_EDGES_MS[:-1], np.arange(GAP_EDGES_MS[-2] + 1), side="right") - 1
_QUANTILES = (0.1, 0.5, 0.9)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairCounts:
    """Number of pairs by time gap and motion."""

    by_gap: NDArray[np.int64]
    """[gap bins, steps of a quarter pixel]; the last step has no upper limit."""
    num_across_cut: int
    """Pairs with a scene cut between source and target."""

    @classmethod
    def of(cls, gap_ms: NDArray[Any], motion_px: NDArray[Any], across_cut: NDArray[Any]) -> "PairCounts":
        """Count pairs. Arrays are [pairs]."""
        step = np.minimum(motion_px * _STEPS_PER_PX, _NUM_STEPS - 1).astype(np.int64)
        cell = _GAP_BIN_OF_MS[np.clip(gap_ms, 0, len(_GAP_BIN_OF_MS) - 1)] * _NUM_STEPS + step
        counts = np.bincount(cell, minlength=(len(GAP_EDGES_MS) - 1) * _NUM_STEPS)
        return cls(by_gap=counts.reshape(-1, _NUM_STEPS), num_across_cut=int(np.count_nonzero(across_cut)))

    def __add__(self, other: "PairCounts") -> "PairCounts":
        return PairCounts(by_gap=self.by_gap + other.by_gap, num_across_cut=self.num_across_cut + other.num_across_cut)

    @property
    def motion_histogram(self) -> tuple[int, ...]:
        """Pairs in 1 px bins of motion. The last bin starts at 40 px and has no upper limit."""
        return tuple(_merge_steps(self.by_gap.sum(axis=0), 1).tolist())

    def summarize(self) -> MotionByGap:
        """Return the grid and the quantiles that the report shows."""
        rows = np.stack([_merge_steps(steps, _ROW_PX) for steps in self.by_gap])
        return MotionByGap(
            grid=Grid(
                column_edges=GAP_EDGES_MS,
                row_edges=(*range(0, _LAST_BIN_PX + 1, _ROW_PX), _LAST_BIN_PX + _ROW_PX),
                counts=tuple(tuple(counts) for counts in rows.tolist()),
            ),
            quantiles=tuple(_compute_quantiles(steps) for steps in self.by_gap),
        )


_NO_PAIRS = PairCounts.of(np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, bool))


def count_measured_pairs(parts: Iterable[Location]) -> PairCounts:
    """Count all pairs of a flow table. Raises DatasetError for a damaged part."""
    return sum(read_parts_concurrently(parts, _count_part), start=_NO_PAIRS)


def count_kept_pairs(selections: Iterable[pa.Table]) -> PairCounts:
    """Count kept pairs. Tables have the columns of SELECTION_SCHEMA."""
    columns = ("gap_ms", "motion_px", "across_cut")
    # In batches: counting needs several times the memory of the counted rows.
    batches = (batch for pairs in selections for batch in pairs.select(columns).to_batches(_ROWS_PER_BATCH))
    counts = (PairCounts.of(*(batch[name].to_numpy(zero_copy_only=False) for name in columns)) for batch in batches)
    return sum(counts, start=_NO_PAIRS)


def _count_part(path: Location) -> PairCounts:
    _, (_, *columns) = read_part_columns(path, "gap_ms", "motion_px", "across_cut")
    return PairCounts.of(*columns)


def _merge_steps(steps: NDArray[np.int64], width_px: int) -> NDArray[np.int64]:
    """Sum quarter-pixel counts into bins of `width_px`; the last bin holds everything from 40 px."""
    end = _LAST_BIN_PX * _STEPS_PER_PX
    return np.append(steps[:end].reshape(-1, width_px * _STEPS_PER_PX).sum(axis=1), steps[end:].sum())


def _compute_quantiles(steps: NDArray[np.int64]) -> tuple[float, float, float] | None:
    """Return the 10 %, 50 % and 90 % quantile in pixels, rounded down to a quarter. None without pairs."""
    if not steps.any():
        return None
    low, median, high = (
        int(np.searchsorted(np.cumsum(steps), quantile * steps.sum())) / _STEPS_PER_PX for quantile in _QUANTILES
    )
    return low, median, high
