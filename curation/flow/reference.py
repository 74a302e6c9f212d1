"""Motion of a frame pair: the definition that everything hangs on (Pix2Gif, section 3.1, algorithm 1), on OpenCV.

The paper gives the algorithm and no numbers; these are those of the authors' own metric code. One deliberate
deviation: a point whose tracking failed (status 0) is left out, as OpenCV leaves its position undefined.
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
"""Displacements up to this length are noise and do not enter the mean."""

Grey = NDArray[np.uint8]
Points = NDArray[np.float32]

cv2.setNumThreads(1)  # A worker is one core; OpenCV heeds neither OMP_NUM_THREADS nor Ray.


def to_grey(rgb: NDArray[np.uint8]) -> Grey:
    """Convert an RGB frame, uint8 [H, W, 3], to grey, uint8 [H, W]."""
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]


def find_corners(grey: Grey) -> Points | None:
    """Find Shi-Tomasi corners, float32 [N, 1, 2] as (x, y) in pixels, or None (Shi and Tomasi, 1994)."""
    return cv2.goodFeaturesToTrack(  # type: ignore[return-value]
        grey,
        mask=None,
        maxCorners=MAX_CORNERS,
        qualityLevel=CORNER_QUALITY,
        minDistance=MIN_CORNER_DISTANCE_PX,
        blockSize=CORNER_BLOCK_PX,
    )


def track(source: Grey, target: Grey, corners: Points | None) -> tuple[float, float]:
    """Track the corners of `source` in `target` by pyramidal Lucas-Kanade (Bouguet, 2001).

    Returns (motion_px, tracked_fraction): the mean length of the tracked displacements longer than 1 px, 0 where
    there is none, and the share of corners that were tracked, 0 where there is no corner.
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
    """Measure one pair of grey frames, uint8 [H, W] each: (motion_px, tracked_fraction)."""
    return track(source, target, find_corners(source))


def measure_all_pairs(grey: Grey, sources: range | None = None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Measure every pair of a clip's grey frames, uint8 [T, H, W], finding corners once a source frame.

    Returns (motion_px, tracked_fraction), float32 [P] each, ordered by source, then target; with `sources`, only
    pairs from those source frames.
    """
    measured = []
    for i in sources if sources is not None else range(len(grey)):
        corners = find_corners(grey[i]) if i + 1 < len(grey) else None
        measured += [track(grey[i], grey[j], corners) for j in range(i + 1, len(grey))]
    motion_px, tracked_fraction = np.array(measured, dtype=np.float32).reshape(-1, 2).T
    return np.ascontiguousarray(motion_px), np.ascontiguousarray(tracked_fraction)
