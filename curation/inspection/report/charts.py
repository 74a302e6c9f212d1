"""Positions and sizes of the lines, bars and cells that the chart templates draw."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from curation.inspection.report.report_data import Grid


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A vertical axis from 0 to `top` with ticks at round numbers."""

    top: float
    """Largest value drawn to scale; positive."""
    ticks: tuple[float, ...]
    """0 and up to five more values."""

    def fraction(self, value: float) -> float:
        """Return the height of a bar as a fraction of the axis, in [0, 1]."""
        return min(value / self.top, 1.0)


def make_axis(values: tuple[float, ...], min_step: float = 0.0) -> Axis:
    """Make an axis for bars of these values.

    The first and last bin of a motion histogram collect static pairs and very large motion. If one of them is more
    than three times the others, the axis ends above the others and the chart cuts that bar off.
    """
    highest, highest_inner = max(values, default=0), max(values[1:-1], default=0)
    highest = (1.15 * highest_inner if highest > 3 * highest_inner > 0 else highest) or 1
    magnitude = 10.0 ** math.floor(math.log10(highest / 5))
    step = next(step for factor in (1, 2, 5, 10) if (step := magnitude * factor) * 5 >= highest * (1 - 1e-9))
    step = max(step, min_step)
    return Axis(top=1.05 * highest, ticks=tuple(step * i for i in range(6) if step * i <= 1.01 * highest))


def normalize(counts: tuple[int, ...]) -> tuple[float, ...]:
    """Divide counts by their sum; returns zeros if the sum is 0."""
    total = sum(counts) or 1
    return tuple(count / total for count in counts)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A non-empty cell of a grid."""

    column: int
    row: int
    count: int
    share: float
    """Count divided by the sum of the column or of the grid."""
    opacity: float
    """In (0, 1], proportional to the square root of the share so that small cells stay visible."""


def list_cells(grid: Grid, *, by_column: bool) -> Iterator[Cell]:
    """Yield the non-empty cells. Shares are of the column if `by_column`, else of the whole grid."""
    grid_total = sum(map(sum, grid.counts))
    totals = [sum(counts) if by_column else grid_total for counts in grid.counts]
    max_share = max(
        (max(counts) / total for counts, total in zip(grid.counts, totals, strict=True) if total), default=0
    )
    for column, (counts, total) in enumerate(zip(grid.counts, totals, strict=True)):
        for row, count in enumerate(counts):
            if count:
                share = count / total
                opacity = 0.08 + 0.92 * math.sqrt(share / max_share)
                yield Cell(column=column, row=row, count=count, share=share, opacity=opacity)


def bin_position(edges: tuple[int, ...], value: float) -> float:
    """Return the position of a value on an axis where every bin has width 1, starting at the first edge.

    Values in the last bin, which has no upper limit, are placed at its middle.
    """
    if value >= edges[-2]:
        return len(edges) - 1.5
    return float(np.interp(value, edges, range(len(edges))))
