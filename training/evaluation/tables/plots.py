"""Draw curves as PNG with matplotlib. The same data gives the same bytes."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from shards.storage.atomic import write_atomically

_SIZE_INCHES = (5.5, 4.0)
_DOTS_PER_INCH = 120


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a plot."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    deviation: Sequence[float] | None = None
    """Half the height of the error bar at each point."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plot:
    """One pair of axes with its curves."""

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    has_diagonal: bool = False
    """Draw the line y = x."""


def draw_plots(plots: Sequence[Plot], path: Path) -> None:
    """Draw plots side by side and write them as PNG."""
    figure = Figure(figsize=(_SIZE_INCHES[0] * len(plots), _SIZE_INCHES[1]), layout="constrained")
    for plot, axes in zip(plots, figure.subplots(1, len(plots), squeeze=False)[0], strict=True):
        _draw(plot, axes)
    with write_atomically(path) as temporary:
        # matplotlib would write its version into the file.
        figure.savefig(temporary, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})


def _draw(plot: Plot, axes: Any) -> None:
    for curve in plot.curves:
        axes.errorbar(curve.x, curve.y, yerr=curve.deviation, marker="o", markersize=4, capsize=2, label=curve.name)
    if plot.has_diagonal:
        ends = [min(min(curve.x) for curve in plot.curves), max(max(curve.x) for curve in plot.curves)]
        axes.plot(ends, ends, color="0.6", linestyle="--", linewidth=1, label="as requested")
    axes.set(title=plot.title, xlabel=plot.x_label, ylabel=plot.y_label)
    axes.grid(visible=True, color="0.9")
    axes.legend(fontsize="small")
