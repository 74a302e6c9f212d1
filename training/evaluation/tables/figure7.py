"""Figure 7: image-video similarity of several methods over guidance scales, as a plot and as a table."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from training.evaluation.inputs.clips import Frames
from training.evaluation.inputs.val_pairs import ValPair
from training.evaluation.metrics.networks import ClipEncoder, XClipEncoder
from training.evaluation.metrics.xclip_similarity import choose_frames, score_clip
from training.evaluation.tables.pair_grid import Measure, place_of
from training.evaluation.tables.plots import Curve, Plot
from training.evaluation.tables.render import Cell, Table

SIDES = ("source", "target")

Similarities = Mapping[str, Mapping[float, Mapping[str, float]]]
"""{method: {guidance scale: {source or target: mean cosine}}}."""


def make_measure(clip: ClipEncoder, x_clip: XClipEncoder) -> Measure:
    """Measure the similarity of a clip to its source and its target: float64 [2]."""

    def take(pair: ValPair, frames: Frames) -> NDArray[np.float64]:
        chosen = frames[choose_frames(len(frames), x_clip.num_frames)]
        return score_clip(clip, x_clip, np.stack([pair.source, pair.target]), chosen)

    return Measure(name="similarity", recipe={"clip": clip.sha256, "x_clip": x_clip.sha256}, take=take)


def summarise(measured: Mapping[str, Mapping[float, NDArray[np.float64]]]) -> Similarities:
    """Average over the pairs; `measured` has float64 [N, 2] for each method and scale."""
    return {
        method: {scale: dict(zip(SIDES, scores.mean(axis=0).tolist(), strict=True)) for scale, scores in scales.items()}
        for method, scales in measured.items()
    }


def make_table(similarities: Similarities, notes: Sequence[str] = ()) -> Table:
    """Put the scores into a table."""
    rows: list[tuple[Cell, ...]] = [
        (method, place_of(scale), *(scores[side] for side in SIDES))
        for method, scales in similarities.items()
        for scale, scores in scales.items()
    ]
    return Table(
        title="Figure 7: image-video similarity",
        columns=("method", "cfg.img", "source score", "target score"),
        rows=tuple(rows),
        notes=("The paper publishes this figure as a plot, without numbers.", *notes),
    )


def make_plots(similarities: Similarities) -> list[Plot]:
    """Draw the source score and the target score over the guidance scale."""
    return [
        Plot(
            title=f"{side} frame score",
            x_label="cfg.img (s_I)",
            y_label="cosine",
            curves=[
                Curve(name=method, x=list(scales), y=[scores[side] for scores in scales.values()])
                for method, scales in similarities.items()
            ],
        )
        for side in SIDES
    ]
