"""Motion coherency: how well generated frames follow the requested motion (Pix2Gif, section 4.3, Table 2).

The motion of a frame is its optical flow from the source frame (Pix2Gif, section 3.1, algorithm 1), measured by
`curation.flow`, the code that measured the training data. Shapes: N clips, F frames of a clip, one for each requested
motion, H x W pixels.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.flow.backend import measure_from_source
from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.clips import iterate_with_source

Pixels = NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """Error and correlation of measured motions against requested ones."""

    rms_px: float
    """Root mean square error, in pixels: sqrt(mean((measured - requested)^2))."""
    norm_px: float
    """Euclidean norm of the errors, in pixels: sqrt(sum((measured - requested)^2))."""
    pearson: float | None
    """Pearson correlation, -1 to 1; None if the requested or the measured motions are constant."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MotionCoherency:
    """Requested and measured motion of a set of clips, and how well they agree."""

    requested_px: tuple[float, ...]
    """The requested motion of each frame, in pixels at the frames' size. The horizontal axis of the curve."""
    measured_px: tuple[float, ...]
    """The measured motion of each frame, averaged over the clips. The vertical axis."""
    deviation_px: tuple[float, ...]
    """The standard deviation of the measured motion over the clips."""
    averaged: Agreement
    """Agreement of the averages over the clips with the requests, as in the paper (section 4.3, Table 2)."""
    single: Agreement
    """Agreement over all N x F frames, without averaging. A stricter measure: errors of opposite sign do not cancel."""
    num_clips: int
    num_still_frames: int
    """Frames with motion 0: no corner moved more than 1 px, or the source has no corner."""


def measure_frames(source: Pixels, frames: Iterable[Pixels]) -> NDArray[np.float64]:
    """Measure the motion from a source to each of F frames, in pixels: float64 [F].

    source, frames: RGB, uint8 [H, W, 3]. The motion is the mean length of all tracked displacements longer than 1 px,
    and 0 if there is none (Pix2Gif, section 3.1, algorithm 1). Raises EvaluationError if the sizes differ.
    """
    frames = list(frames)
    for frame in frames:
        if frame.shape != source.shape:
            raise EvaluationError(
                f"a frame is {frame.shape[1]} x {frame.shape[0]} and its source {source.shape[1]} x {source.shape[0]}: "
                "motion can only be measured between images of the same size"
            )
    return measure_from_source(source, frames).astype(np.float64)


def summarise_motion(requested_px: Sequence[float], measured_px: NDArray[np.float64]) -> MotionCoherency:
    """Compare measured motions, float64 [N, F] in pixels, with the F requested ones.

    Raises EvaluationError if there are no clips, or if the number of frames differs from the number of requests.
    """
    if measured_px.ndim != 2 or not measured_px.size:
        raise EvaluationError("there are no frames to measure the motion of")
    _check_count("each clip", measured_px.shape[1], len(requested_px))
    requested = np.array(requested_px, dtype=np.float64)
    mean = measured_px.mean(axis=0)
    return MotionCoherency(
        requested_px=tuple(requested.tolist()),
        measured_px=tuple(mean.tolist()),
        deviation_px=tuple(measured_px.std(axis=0).tolist()),
        averaged=_compare(requested, mean),
        single=_compare(np.broadcast_to(requested, measured_px.shape).ravel(), measured_px.ravel()),
        num_clips=len(measured_px),
        num_still_frames=int((measured_px == 0).sum()),
    )


def measure_motion_coherency(
    clips: Iterable[tuple[Pixels, Sequence[Pixels]]], requested_px: Sequence[float]
) -> MotionCoherency:
    """Measure how well the frames of clips follow the requested motions.

    clips: (source, frames) of each clip, RGB, uint8 [H, W, 3]. Frame k was generated for `requested_px[k]`, in pixels
    at the frames' size. The paper does not publish the formula of its L2, so the result has both `rms_px` and
    `norm_px`.

        coherency = measure_motion_coherency([(source, [frame_2, frame_4, frame_8])], [2, 4, 8])
        coherency.averaged.pearson, coherency.averaged.rms_px

    Raises EvaluationError if there are no clips, or if a clip does not have one frame for each request.
    """
    return _measure_clips(((f"clip {index}", *clip) for index, clip in enumerate(clips)), requested_px)


def measure_motion_of_folder(generated: Path, sources: Path | None, requested_px: Sequence[float]) -> MotionCoherency:
    """Measure the motion coherency of a folder of clips; see `clips.iterate_with_source` for `sources`."""
    clips = ((str(clip.path), source, frames) for clip, source, frames in iterate_with_source(generated, sources))
    return _measure_clips(clips, requested_px)


def _measure_clips(
    clips: Iterable[tuple[str, Pixels, Pixels | Sequence[Pixels]]], requested_px: Sequence[float]
) -> MotionCoherency:
    rows = []
    for name, source, frames in clips:
        _check_count(name, len(frames), len(requested_px))
        rows.append(measure_frames(source, frames))
    return summarise_motion(requested_px, np.array(rows, dtype=np.float64))


def _check_count(name: str, num_frames: int, num_requested: int) -> None:
    if num_frames != num_requested:
        raise EvaluationError(
            f"{name} has {num_frames} frames to measure, but {num_requested} motions were requested: give one motion "
            "for each frame"
        )


def _compare(requested: NDArray[np.float64], measured: NDArray[np.float64]) -> Agreement:
    errors = measured - requested
    varies = np.ptp(requested) > 0 and np.ptp(measured) > 0
    return Agreement(
        rms_px=math.sqrt(float(np.mean(errors**2))),
        norm_px=float(np.linalg.norm(errors)),
        pearson=float(np.corrcoef(requested, measured)[0, 1]) if varies else None,
    )
