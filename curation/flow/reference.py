"""Motion of a frame pair, in OpenCV: the reference for every other implementation.

Source: Pix2Gif, section 3.1, algorithm 1. The paper gives no parameters; these are the ones in the authors' metric
code. One deliberate deviation: points whose tracking failed (status 0) are excluded, because OpenCV leaves their
positions undefined.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_CORNERS = 100
CORNER_QUALITY = 0.1
MIN_CORNER_DISTANCE_PX = 7
CORNER_BLOCK_PX = 7
WINDOW_PX = 15
MAX_LEVEL = 2
MAX_ITERATIONS = 10
EPSILON_PX = 0.03
MIN_DISPLACEMENT_PX = 1.0
"""Displacements up to this length count as noise and are excluded from the mean."""

Grey = NDArray[np.uint8]
Points = NDArray[np.float32]


def to_grey(rgb: NDArray[np.uint8]) -> Grey:
    """Convert an RGB frame, uint8 [H, W, 3], to grey, uint8 [H, W]."""
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]


def find_corners(grey: Grey) -> Points | None:
    """Find corners (Shi and Tomasi, 1994) in a frame, uint8 [H, W].

    Returns float32 [N, 1, 2] as (x, y) in pixels, best first, N <= 100; None if there is no corner.
    """
    return cv2.goodFeaturesToTrack(  # type: ignore[return-value]
        grey,
        mask=None,
        maxCorners=MAX_CORNERS,
        qualityLevel=CORNER_QUALITY,
        minDistance=MIN_CORNER_DISTANCE_PX,
        blockSize=CORNER_BLOCK_PX,
    )


def track(source: Grey, target: Grey, corners: Points | None) -> tuple[float, float]:
    """Track the corners of `source` in `target` with pyramidal Lucas-Kanade (Bouguet, 2001).

    source, target: uint8 [H, W]. Returns (motion_px, tracked_fraction): the mean length of tracked displacements over
    1 px, 0 if there are none, and the fraction of corners that were tracked, 0 if there are no corners.
    """
    if corners is None:
        return 0.0, 0.0
    moved, status, _ = cv2.calcOpticalFlowPyrLK(  # type: ignore[call-overload]
        source,
        target,
        corners,
        None,
        winSize=(WINDOW_PX, WINDOW_PX),
        maxLevel=MAX_LEVEL,
        criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, MAX_ITERATIONS, EPSILON_PX),
    )
    tracked = status.ravel() == 1
    lengths = np.linalg.norm((moved - corners).reshape(-1, 2)[tracked], axis=1)
    lengths = lengths[lengths > MIN_DISPLACEMENT_PX]
    return (float(lengths.mean()) if len(lengths) else 0.0), float(tracked.mean())


def measure_motion(source: Grey, target: Grey) -> tuple[float, float]:
    """Measure one pair of grey frames, uint8 [H, W] each; returns (motion_px, tracked_fraction) as `track` does."""
    return track(source, target, find_corners(source))


def measure_all_pairs(grey: Grey, sources: range | None = None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Measure every pair (i, j), i < j, of a clip's grey frames, uint8 [T, H, W]; find corners once per source frame.

    If `sources` is given, only pairs with these source frames are measured. Returns (motion_px, tracked_fraction),
    float32 [P] each, ordered by source, then target.
    """
    measured = []
    for i in sources if sources is not None else range(len(grey)):
        corners = find_corners(grey[i]) if i + 1 < len(grey) else None
        measured += [track(grey[i], grey[j], corners) for j in range(i + 1, len(grey))]
    motion_px, tracked_fraction = np.array(measured, dtype=np.float32).reshape(-1, 2).T
    return np.ascontiguousarray(motion_px), np.ascontiguousarray(tracked_fraction)
