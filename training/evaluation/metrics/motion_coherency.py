"""Motion coherency: requested motions and the frames made for them -> how well the one follows the other (Table 2).

The motion of a frame is measured by the same code as the training data's, from the source to the frame.

N clips, F frames of a clip, one for each requested motion; H, W the frames' size.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.flow.reference import find_corners, to_grey, track
from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.clips import iterate_with_source

Pixels = NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well measured motions follow requested ones."""

    rms_px: float
    """Root of the mean squared difference, in pixels."""
    norm_px: float
    """Euclidean norm of the differences, in pixels; rms_px times the root of their number."""
    pearson: float | None
    """Pearson correlation, -1 to 1; None where one side does not vary, so that there is none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MotionCoherency:
    """The motions of some clips' frames against those that were asked for."""

    requested_px: tuple[float, ...]
    """What was asked for, in pixels of the frames, one a frame: the horizontal axis of a curve."""
    measured_px: tuple[float, ...]
    """What was measured, averaged over the clips: the vertical axis."""
    deviation_px: tuple[float, ...]
    """Standard deviation of the measured motion over the clips, for each request."""
    averaged: Agreement
    """The paper's way (Pix2Gif, section 4.3, Table 2): averaged over the clips first, then compared."""
    single: Agreement
    """Over all frames of all clips, none averaged: harder, as clips do not make up for each other."""
    num_clips: int
    num_still_frames: int
    """Frames in which nothing moved more than 1 px, or whose source has no corner; they count as 0."""


def measure_frames(source: Pixels, frames: Iterable[Pixels]) -> NDArray[np.float64]:
    """Measure the motion from a source to each frame, in pixels: float64 [F].

    source, frames: RGB, uint8 [H, W, 3], all of one size; pictures of PIL become such by `np.asarray`. 0 where the
    source has no corner or nothing moved more than 1 px (Pix2Gif, section 3.1, algorithm 1). Raises EvaluationError
    where sizes differ.
    """
    grey = to_grey(source)
    corners = find_corners(grey)
    measured = []
    for frame in frames:
        if frame.shape != source.shape:
            raise EvaluationError(
                f"a frame is {frame.shape[1]} x {frame.shape[0]} and its source {source.shape[1]} x {source.shape[0]}: "
                "motion is measured between pictures of one size"
            )
        measured.append(track(grey, to_grey(frame), corners)[0])
    return np.array(measured, dtype=np.float64)


def summarise_motion(requested_px: Sequence[float], measured_px: NDArray[np.float64]) -> MotionCoherency:
    """Compare measured motions, float64 [N, F] in pixels, with the F requested ones.

    Raises EvaluationError where there is no clip, or the counts of frames and requests differ.
    """
    if measured_px.ndim != 2 or not measured_px.size:
        raise EvaluationError("there are no frames to measure motion in")
    _check_count("each clip", measured_px.shape[1], len(requested_px))
    requested = np.array(requested_px, dtype=np.float64)
    mean = measured_px.mean(axis=0)
    return MotionCoherency(
        requested_px=tuple(requested.tolist()),
        measured_px=tuple(mean.tolist()),
        deviation_px=tuple(measured_px.std(axis=0).tolist()),
        averaged=_agree(requested, mean),
        single=_agree(np.broadcast_to(requested, measured_px.shape).ravel(), measured_px.ravel()),
        num_clips=len(measured_px),
        num_still_frames=int((measured_px == 0).sum()),
    )


def measure_motion_coherency(
    clips: Iterable[tuple[Pixels, Sequence[Pixels]]], requested_px: Sequence[float]
) -> MotionCoherency:
    """Measure how well the frames of some clips follow the motions that were requested of them.

    clips: (source, frames) of each clip, RGB, uint8 [H, W, 3]; frame k was made for `requested_px[k]`, in pixels of
    the frames at their size. Returns the paper's figures (`averaged`), the same over single frames (`single`) and the
    curve. The paper does not publish its formula of L2, so `rms_px` and `norm_px` are both told.

        coherency = measure_motion_coherency([(source, [frame_2, frame_4, frame_8])], [2, 4, 8])
        coherency.averaged.pearson, coherency.averaged.rms_px

    Raises EvaluationError where there are no clips, or a clip has not one frame for each request.
    """
    rows = []
    for index, (source, frames) in enumerate(clips):
        _check_count(f"clip {index}", len(frames), len(requested_px))
        rows.append(measure_frames(source, frames))
    return summarise_motion(requested_px, np.array(rows, dtype=np.float64))


def measure_motion_of_folder(generated: Path, sources: Path | None, requested_px: Sequence[float]) -> MotionCoherency:
    """Measure motion coherency of a folder of clips; `sources` as of `clips.iterate_with_source`."""
    rows = []
    for clip, source, frames in iterate_with_source(generated, sources):
        _check_count(str(clip.path), len(frames), len(requested_px))
        rows.append(measure_frames(source, frames))
    return summarise_motion(requested_px, np.array(rows, dtype=np.float64))


def _check_count(what: str, num_frames: int, num_requested: int) -> None:
    if num_frames != num_requested:
        raise EvaluationError(
            f"{what} has {num_frames} frames to measure, but {num_requested} motions were requested: name one motion "
            "for each frame"
        )


def _agree(requested: NDArray[np.float64], measured: NDArray[np.float64]) -> Agreement:
    differences = measured - requested
    varies = np.ptp(requested) > 0 and np.ptp(measured) > 0
    return Agreement(
        rms_px=math.sqrt(float(np.mean(differences**2))),
        norm_px=float(np.linalg.norm(differences)),
        pearson=float(np.corrcoef(requested, measured)[0, 1]) if varies else None,
    )
