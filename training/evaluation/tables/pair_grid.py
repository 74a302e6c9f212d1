"""Measure every method at every guidance scale on every val pair, for Table 2 and Figure 7.

Shapes: N pairs, K values of a measure, F frames.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.config import GridConfig, SamplingConfig
from training.evaluation.inputs.frames import Frames
from training.evaluation.inputs.val_pairs import ValPair
from training.evaluation.tables.frame_origins import FrameOrigin, Request
from training.evaluation.tables.plots import Plot
from training.evaluation.tables.ranks import Ranks
from training.evaluation.tables.render import Table
from training.evaluation.tables.work_cache import Recipe, WorkCache

GridValues = Mapping[str, Mapping[float, NDArray[np.float64]]]
"""{method: {guidance scale: float64 [N, K]}}."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridReport:
    """The results of a grid, ready to be written."""

    values: dict[str, Any]
    """{method: {guidance scale: values}}, as JSON."""
    table: Table
    plots: Sequence[Plot]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridTable:
    """What Table 2 or Figure 7 measures, and how it is reported."""

    name: str
    """table2 or figure7: stem of the result files and suffix of the cached values."""
    compute: Callable[[ValPair, Frames], NDArray[np.float64]]
    """Measures the frames of one pair: (pair, uint8 [F, H, W, 3]) -> float64 [K]."""
    make_report: Callable[[GridValues], GridReport]
    networks: Mapping[str, Mapping[str, str]]
    """{network: {location, sha256}} of the networks that `compute` uses."""

    @property
    def recipe(self) -> Recipe:
        """Everything that determines the values besides the frames and the pair."""
        return {"measure": self.name, **{name: network["sha256"] for name, network in self.networks.items()}}


def format_scale(image_guidance: float) -> str:
    """Format a guidance scale as in folder names and tables: 1.4, 2.0."""
    return str(float(image_guidance))


def measure_grid(
    pairs: Sequence[ValPair],
    origins: Sequence[FrameOrigin],
    sampling: SamplingConfig,
    config: GridConfig,
    grid_table: GridTable,
    work: WorkCache,
    ranks: Ranks,
) -> GridValues:
    """Measure every method at every scale on every pair; each process measures its share of the pairs.

    The first process returns all values, the others an empty mapping.
    """

    def compute(origin: FrameOrigin, scale: float, pair: ValPair) -> NDArray[np.float64]:
        part, scaled = format_scale(scale), dataclasses.replace(sampling, image_guidance=scale)
        request = Request(key=pair.key, caption=pair.caption, source=pair.source)
        recipe = {"frames": origin.make_recipe(part, request, scaled), "pair": pair.digest, **grid_table.recipe}
        name = f"{part}/{origin.name}/{pair.key}.{grid_table.name}"
        return work.get_array(name, recipe, lambda: grid_table.compute(pair, origin.get_frames(part, request, scaled)))

    for origin in origins:
        for scale in config.image_guidance:
            for pair in ranks.iterate_share(pairs, f"{origin.name} {format_scale(scale)}"):
                compute(origin, scale, pair)
        origin.release()
    ranks.wait()
    if not ranks.is_first:
        return {}
    return {
        origin.name: {
            scale: np.stack([compute(origin, scale, pair) for pair in pairs]) for scale in config.image_guidance
        }
        for origin in origins
    }
