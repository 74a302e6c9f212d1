"""Table 2: motion coherency of several methods and guidance scales beside the paper's figures, and its curve."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from training.evaluation.inputs.clips import Frames
from training.evaluation.inputs.val_pairs import ValPair
from training.evaluation.metrics.motion_coherency import MotionCoherency, measure_frames, summarise_motion
from training.evaluation.tables.pair_grid import Measure, place_of
from training.evaluation.tables.plots import Curve, Plot
from training.evaluation.tables.published import TABLE_2
from training.evaluation.tables.render import Cell, Table

Coherencies = Mapping[str, Mapping[float, MotionCoherency]]
"""{method: {guidance scale: figures}}."""


def make_measure() -> Measure:
    """Measure the motion from the source to each frame, in pixels: float64 [F]."""

    def take(pair: ValPair, frames: Frames) -> NDArray[np.float64]:
        return measure_frames(pair.source, frames)

    return Measure(name="motion", recipe={"measure": "motion"}, take=take)


def summarise(
    measured: Mapping[str, Mapping[float, NDArray[np.float64]]], requested_px: Sequence[float]
) -> Coherencies:
    """Compare the measured motions, float64 [N, F] of each method and scale, with the requested ones."""
    return {
        method: {scale: summarise_motion(requested_px, motions) for scale, motions in scales.items()}
        for method, scales in measured.items()
    }


def make_table(coherencies: Coherencies, notes: Sequence[str] = ()) -> Table:
    """Put figures below the paper's, which are marked as published."""
    rows: list[tuple[Cell, ...]] = [
        (f"{method} (published)", place_of(scale), l2, None, None, pearson, None, None)
        for method, scales in TABLE_2.items()
        for scale, (l2, pearson) in scales.items()
    ]
    for method, measured in coherencies.items():
        for scale, coherency in measured.items():
            averaged, single = coherency.averaged, coherency.single
            errors = (averaged.rms_px, averaged.norm_px, averaged.pearson, single.rms_px, single.pearson)
            rows.append((method, place_of(scale), None, *errors))
    return Table(
        title="Table 2: motion coherency",
        columns=("method", "cfg.img", "L2", "RMS (px)", "norm (px)", "PCC", "RMS of single frames (px)", "PCC of them"),
        rows=tuple(rows),
        notes=(
            "L2 is published without its formula: RMS is the root of the mean squared difference, norm the root of "
            "the sum; less is better. PCC is the Pearson correlation of requested and measured motion; more is better.",
            *notes,
        ),
    )


def make_plots(coherencies: Coherencies) -> list[Plot]:
    """Draw measured over requested motion, a pair of axes for each guidance scale; bars are deviations over clips."""
    scales = list(dict.fromkeys(scale for measured in coherencies.values() for scale in measured))
    return [
        Plot(
            title=f"s_I = {place_of(scale)}",
            x_label="requested motion (px)",
            y_label="measured motion (px)",
            curves=[
                Curve(
                    name=method,
                    x=measured[scale].requested_px,
                    y=measured[scale].measured_px,
                    deviation=measured[scale].deviation_px,
                )
                for method, measured in coherencies.items()
            ],
            diagonal=True,
        )
        for scale in scales
    ]
