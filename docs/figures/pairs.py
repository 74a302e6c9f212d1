"""Pairs of the demo's GIFs as curation sees them: source with its tracked corners, target, motion and caption."""

import tempfile
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from curation.decode import read_frames
from curation.flow.reference import (
    EPSILON_PX,
    MAX_ITERATIONS,
    MAX_LEVEL,
    MIN_DISPLACEMENT_PX,
    WINDOW_PX,
    find_corners,
    measure_motion,
    to_grey,
)
from docs.figures.style import INK
from examples.draw_demo import GIFS, save_gif

PAIRS = (("house.gif", 2, 3), ("windmill.gif", 3, 4), ("fish.gif", 5, 6), ("street.gif", 2, 3))
"""(GIF, source frame, target frame)."""
ARROW = "#e11d48"


def draw() -> Figure:
    """Draw a column a pair: source with an arrow a moving corner above, target below."""
    figure = Figure(figsize=(9.6, 5.2))
    panels = figure.subplots(2, len(PAIRS))
    captions = {gif.name: gif.caption for gif in GIFS}
    with tempfile.TemporaryDirectory() as folder:
        for column, (name, source_index, target_index) in enumerate(PAIRS):
            path = Path(folder, name)
            save_gif(path, next(gif for gif in GIFS if gif.name == name))
            frames = read_frames(path).rgb
            source, target = frames[source_index], frames[target_index]
            motion_px, _ = measure_motion(to_grey(source), to_grey(target))
            _show(panels[0, column], source, f"source: frame {source_index}")
            _draw_arrows(panels[0, column], source, target)
            _show(panels[1, column], target, f"target: frame {target_index}, motion {motion_px:.1f} px")
            panels[1, column].set_xlabel(f"“{captions[name]}”".replace(" a ", " a\u00a0"), fontsize=7)
    figure.tight_layout()
    return figure


def _show(axes: Axes, frame: NDArray[np.uint8], title: str) -> None:
    axes.imshow(frame)
    axes.set_title(title, fontsize=8, color=INK)
    axes.set(xticks=(), yticks=())
    axes.spines[:].set_visible(False)


def _draw_arrows(axes: Axes, source: NDArray[np.uint8], target: NDArray[np.uint8]) -> None:
    """Draw an arrow from each tracked corner that moves, as Algorithm 1 finds and tracks them."""
    corners = find_corners(to_grey(source))
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, MAX_ITERATIONS, EPSILON_PX)
    moved, status, _ = cv2.calcOpticalFlowPyrLK(
        to_grey(source), to_grey(target), corners, None, winSize=(WINDOW_PX, WINDOW_PX), maxLevel=MAX_LEVEL,
        criteria=criteria,
    )  # fmt: skip
    start, step = corners[:, 0], (moved - corners)[:, 0]
    shown = (status.ravel() == 1) & (np.linalg.norm(step, axis=1) > MIN_DISPLACEMENT_PX)
    axes.quiver(
        *start[shown].T, *step[shown].T, color=ARROW, angles="xy", scale_units="xy", scale=1, width=0.008, headwidth=4
    )
