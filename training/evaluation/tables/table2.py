"""Table 2: motion coherency of each method and guidance scale beside the published values, and its curve."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from training.evaluation.inputs.frames import Frames
from training.evaluation.inputs.val_pairs import ValPair
from training.evaluation.metrics.motion_coherency import MotionCoherency, measure_frames, summarise_motion
from training.evaluation.tables.pair_grid import GridReport, GridTable, GridValues, format_scale
from training.evaluation.tables.plots import Curve, Plot
from training.evaluation.tables.published import TABLE_2
from training.evaluation.tables.render import Cell, Table

Coherencies = Mapping[str, Mapping[float, MotionCoherency]]
"""{method: {guidance scale: motion coherency}}."""


def make_grid_table(requested_px: Sequence[float]) -> GridTable:
    """Return the measure of Table 2: the motion from the source to each frame, float64 [F] in pixels."""

    def compute(pair: ValPair, frames: Frames) -> NDArray[np.float64]:
        return measure_frames(pair.source, frames)

    def make_report(measured: GridValues) -> GridReport:
        return compare_motion(measured, requested_px)

    return GridTable(name="table2", compute=compute, make_report=make_report, networks={})


def compare_motion(measured: GridValues, requested_px: Sequence[float]) -> GridReport:
    """Compare the measured motions, float64 [N, F] for each method and scale, with the requested ones."""
    coherencies = {
        method: {scale: summarise_motion(requested_px, motions) for scale, motions in scales.items()}
        for method, scales in measured.items()
    }
    values = {
        method: {str(scale): dataclasses.asdict(coherency) for scale, coherency in scales.items()}
        for method, scales in coherencies.items()
    }
    return GridReport(values=values, table=_make_table(coherencies), plots=_make_plots(coherencies))


def _make_table(coherencies: Coherencies) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (f"{method} (published)", format_scale(scale), l2, None, None, pearson, None, None)
        for method, scales in TABLE_2.items()
        for scale, (l2, pearson) in scales.items()
    ]
    for method, measured in coherencies.items():
        for scale, coherency in measured.items():
            averaged, single = coherency.averaged, coherency.single
            errors = (averaged.rms_px, averaged.norm_px, averaged.pearson, single.rms_px, single.pearson)
            rows.append((method, format_scale(scale), None, *errors))
    return Table(
        title="Table 2: motion coherency",
        columns=(
            "method", "cfg.img", "L2", "RMS (px)", "norm (px)", "PCC", "RMS of single frames (px)",
            "PCC of single frames",
        ),
        rows=tuple(rows),
        notes=(
            "L2 is published without its formula. RMS is the root of the mean squared error, norm the root of the sum "
            "of squared errors; lower is better. PCC is the Pearson correlation of requested and measured motion; "
            "higher is better.",
        ),
    )  # fmt: skip


def _make_plots(coherencies: Coherencies) -> list[Plot]:
    """Plot measured against requested motion for each guidance scale; error bars are deviations over the clips."""
    scales = list(dict.fromkeys(scale for measured in coherencies.values() for scale in measured))
    return [
        Plot(
            title=f"s_I = {format_scale(scale)}",
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
            has_diagonal=True,
        )
        for scale in scales
    ]
