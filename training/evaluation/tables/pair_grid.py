"""Val pairs x guidance scales x methods -> measures: what Table 2 and Figure 7 have in common.

N pairs, K numbers of a measure.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.config import GridConfig, SamplingConfig
from training.evaluation.inputs.clips import Frames
from training.evaluation.inputs.val_pairs import ValPair
from training.evaluation.tables.frame_origins import FrameOrigin, Request
from training.evaluation.tables.work_cache import Ranks, Recipe, Work


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measure:
    """A measure of a pair's frames."""

    name: str
    """Of its files."""
    recipe: Recipe
    """What it hangs on beside frames and pair."""
    take: Callable[[ValPair, Frames], NDArray[np.float64]]
    """(pair, frames [F, H, W, 3]) -> float64 [K]."""


def place_of(image_guidance: float) -> str:
    """Name the folder of a guidance scale: 1.4, 2.0."""
    return str(float(image_guidance))


def measure_grid(
    pairs: Sequence[ValPair],
    origins: Sequence[FrameOrigin],
    sampling: SamplingConfig,
    config: GridConfig,
    measure: Measure,
    work: Work,
    ranks: Ranks,
    follow: Callable[[Sequence[Any], str], Any] = lambda items, _name: items,
) -> dict[str, dict[float, NDArray[np.float64]]]:
    """Measure every method at every scale on every pair, each process its share: {method: {scale: float64 [N, K]}}.

    The first process gathers, the others return nothing. `follow` wraps the items that are worked off, with their
    name, to show progress.
    """

    def take(origin: FrameOrigin, scale: float, pair: ValPair) -> NDArray[np.float64]:
        place, scaled = place_of(scale), dataclasses.replace(sampling, image_guidance=scale)
        request = Request(key=pair.key, caption=pair.caption, source=pair.source)
        recipe = {"frames": origin.recipe(place, request, scaled), "pair": pair.digest, **measure.recipe}
        name = f"{place}/{origin.name}/{pair.key}.{measure.name}"
        return work.numbers(name, recipe, lambda: measure.take(pair, origin.frames(place, request, scaled)))

    for origin in origins:
        for scale in config.image_guidance:
            for pair in follow(ranks.share(pairs), f"{origin.name} {place_of(scale)}"):
                take(origin, scale, pair)
        origin.release()
    ranks.wait()
    if not ranks.is_first:
        return {}
    return {
        origin.name: {scale: np.stack([take(origin, scale, pair) for pair in pairs]) for scale in config.image_guidance}
        for origin in origins
    }
