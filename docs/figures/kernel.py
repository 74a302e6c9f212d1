"""What the kernel shares between the pairs of a clip, and how near it stays to Algorithm 1; on a drawn GIF."""

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from curation.flow import reference as flow
from curation.flow.lucas_kanade.all_pairs import measure_all_pairs
from docs.figures.style import ACCENT, INK
from examples.draw_gifs import texture

NUM_FRAMES, SOURCE, TARGET = 24, 0, 4
SWING_PX = 14.0


def draw() -> Figure:
    """Draw corners of one source and where they go in one target; all pairs; the distance from Algorithm 1."""
    grey = _draw_swing()
    motion_px, _ = measure_all_pairs(grey)
    defined_px, _ = flow.measure_all_pairs(grey)
    figure = Figure(figsize=(9.6, 3.3))
    corners, pairs, apart = figure.subplots(1, 3, width_ratios=(1, 1.05, 1.1))
    _draw_corners(corners, grey)
    table = np.full((NUM_FRAMES, NUM_FRAMES), np.nan)
    table[np.triu_indices(NUM_FRAMES, 1)] = motion_px
    figure.colorbar(pairs.imshow(table), ax=pairs, label="motion (px)", shrink=0.8)
    pairs.set(title=f"the motion of all {len(motion_px)} pairs", xlabel="target frame", ylabel="source frame")
    _draw_distance(apart, np.abs(motion_px - defined_px))
    figure.tight_layout()
    return figure


def _draw_swing() -> NDArray[np.uint8]:
    """Draw a texture that swings from side to side, so that far frames are near in what they show; [T, 256, 256]."""
    y, x = np.mgrid[0:256, 0:256].astype(np.float64)
    offsets = SWING_PX * np.sin(2 * np.pi * np.arange(NUM_FRAMES) / (NUM_FRAMES / 1.5))
    return np.stack([flow.to_grey(texture(x - offset, y - offset / 3, seed=2)) for offset in offsets])


def _draw_corners(axes: Axes, grey: NDArray[np.uint8]) -> None:
    """Track the corners of one frame by OpenCV, as `curation.flow.reference` does; it returns no positions."""
    found = flow.find_corners(grey[SOURCE])
    moved, status, _ = cv2.calcOpticalFlowPyrLK(
        grey[SOURCE], grey[TARGET], found, None, winSize=(flow.WINDOW_PX, flow.WINDOW_PX), maxLevel=flow.MAX_LEVEL
    )
    kept = status.ravel() == 1
    start, end = found.reshape(-1, 2)[kept], moved.reshape(-1, 2)[kept]
    axes.imshow(grey[SOURCE], cmap="gray", vmin=0, vmax=255)
    axes.quiver(*start.T, *(end - start).T, color=ACCENT, angles="xy", scale_units="xy", scale=1, width=0.008)
    axes.plot(*start.T, "o", color="#facc15", markersize=2.5, markeredgecolor=INK, markeredgewidth=0.3)
    axes.set_title(f"corners of frame {SOURCE}, once; tracked into {TARGET}")
    axes.axis("off")


def _draw_distance(axes: Axes, apart_px: NDArray[np.float32]) -> None:
    edges = np.geomspace(1e-7, 1, 43)
    axes.hist(np.clip(apart_px, edges[0], edges[-1]), bins=edges, color=ACCENT)
    axes.set_xscale("log")
    axes.set(title="kernel against Algorithm 1", xlabel="px apart", ylabel="pairs")
