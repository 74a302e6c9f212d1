"""Figure 7: image-video similarity of each method over guidance scales, as a plot and as a table."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from training.evaluation.inputs.frames import Frames
from training.evaluation.inputs.val_pairs import ValPair
from training.evaluation.metrics.networks import ClipEncoder, XClipEncoder
from training.evaluation.metrics.xclip_similarity import choose_frames, score_clip
from training.evaluation.tables.pair_grid import GridReport, GridTable, GridValues, format_scale
from training.evaluation.tables.plots import Curve, Plot
from training.evaluation.tables.render import Cell, Table

SIDES = ("source", "target")

Similarities = Mapping[str, Mapping[float, Mapping[str, float]]]
"""{method: {guidance scale: {source or target: mean cosine}}}."""


def make_grid_table(weights: Mapping[str, str], device: torch.device) -> GridTable:
    """Return the measure of Figure 7: the similarity of a clip to its source and to its target, float64 [2].

    `weights` has the locations of `clip` and `x_clip`. Raises TrainingError if they cannot be loaded.
    """
    clip, x_clip = ClipEncoder(weights["clip"], device), XClipEncoder(weights["x_clip"], device)
    hashes = {"clip": clip.sha256, "x_clip": x_clip.sha256}
    networks = {name: {"location": weights[name], "sha256": sha256} for name, sha256 in hashes.items()}

    def compute(pair: ValPair, frames: Frames) -> NDArray[np.float64]:
        chosen = frames[choose_frames(len(frames), x_clip.num_frames)]
        return score_clip(clip, x_clip, np.stack([pair.source, pair.target]), chosen)

    return GridTable(name="figure7", compute=compute, make_report=average_similarity, networks=networks)


def average_similarity(measured: GridValues) -> GridReport:
    """Average the similarities, float64 [N, 2] for each method and scale, over the pairs."""
    similarities = {
        method: {scale: dict(zip(SIDES, scores.mean(axis=0).tolist(), strict=True)) for scale, scores in scales.items()}
        for method, scales in measured.items()
    }
    values = {name: {str(scale): scores for scale, scores in scales.items()} for name, scales in similarities.items()}
    return GridReport(values=values, table=_make_table(similarities), plots=_make_plots(similarities))


def _make_table(similarities: Similarities) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (method, format_scale(scale), *(scores[side] for side in SIDES))
        for method, scales in similarities.items()
        for scale, scores in scales.items()
    ]
    return Table(
        title="Figure 7: image-video similarity",
        columns=("method", "cfg.img", "source score", "target score"),
        rows=tuple(rows),
        notes=("The paper publishes this figure as a plot, without numbers.",),
    )


def _make_plots(similarities: Similarities) -> list[Plot]:
    """Plot the source score and the target score over the guidance scale."""
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
