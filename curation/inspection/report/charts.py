"""Where lines, bars and cells of a chart are: what the template draws by."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from curation.inspection.report.report_data import Grid


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A vertical axis from 0 to `top`, with round numbers on it."""

    top: float
    """The largest value that is drawn to scale; positive."""
    ticks: tuple[float, ...]
    """Where the lines are, 0 and at most five more."""

    def share(self, value: float) -> float:
        """Give the height of a bar as a share of the axis, in [0, 1]."""
        return min(value / self.top, 1.0)


def axis_for(values: tuple[float, ...], least_step: float = 0.0) -> Axis:
    """Make an axis on which every value fits, but for a first or last one that would flatten all the others.

    The motion histogram's ends gather what did not move and what moved too far. Where one is more than three
    times as high as all between them, the axis ends above the rest; the chart cuts that bar, and says so.
    """
    highest, inner = max(values, default=0), max(values[1:-1], default=0)
    highest = (1.15 * inner if highest > 3 * inner > 0 else highest) or 1
    magnitude = 10.0 ** math.floor(math.log10(highest / 5))
    step = next(step for factor in (1, 2, 5, 10) if (step := magnitude * factor) * 5 >= highest * (1 - 1e-9))
    step = max(step, least_step)
    return Axis(top=1.05 * highest, ticks=tuple(step * i for i in range(6) if step * i <= 1.01 * highest))


def shares(counts: tuple[int, ...]) -> tuple[float, ...]:
    """Divide every count by their sum; all zero where there is nothing to divide."""
    total = sum(counts) or 1
    return tuple(count / total for count in counts)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of a grid that is not empty."""

    column: int
    row: int
    count: int
    share: float
    """Of its column, or of all."""
    depth: float
    """How strongly it is drawn, in (0, 1]; the root of its share, so that small ones are still seen."""


def cells_of(grid: Grid, *, by_column: bool) -> Iterator[Cell]:
    """Yield the cells of a grid that are not empty, each as a share of its column or of the whole."""
    whole = sum(map(sum, grid.counts))
    columns = [(column, sum(counts) if by_column else whole) for column, counts in enumerate(grid.counts)]
    most = max((count / total for column, total in columns if total for count in grid.counts[column]), default=0)
    for column, total in columns:
        for row, count in enumerate(grid.counts[column]):
            if count:
                share = count / total
                depth = 0.08 + 0.92 * math.sqrt(share / most)
                yield Cell(column=column, row=row, count=count, share=share, depth=depth)


def place_in(edges: tuple[int, ...], value: float) -> float:
    """Tell where a value is on an axis of bins that are drawn equally wide, in bins from the first edge on.

    The last bin is open: whatever is in it is drawn in its middle.
    """
    if value >= edges[-2]:
        return len(edges) - 1.5
    return float(np.interp(value, edges, range(len(edges))))
