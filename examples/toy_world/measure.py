"""Measure whether the frames of `pix2gif evaluate table2` move in the direction that the caption names.

Table 2 measures only the length of the motion.
"""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.flow import reference as flow
from examples.toy_world.draw import DIRECTIONS
from training.evaluation.inputs.frames import read_frames
from training.evaluation.inputs.val_pairs import ValPair, draw_pairs

Pixels = NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratedClip:
    """One held-out pair and the frames that one variant generated from its source."""

    pair: ValPair
    frames: NDArray[np.uint8]
    """RGB, uint8 [F, H, W, 3], one for each requested motion."""

    @property
    def direction(self) -> str:
        """The direction that the caption names."""
        return next(word for word in self.pair.caption.split() if word in DIRECTIONS)


def read_clips(
    shards: Path, table: Path, variant: str, image_guidance: float, num_clips: int, seed: int
) -> list[GeneratedClip]:
    """Read the pairs of Table 2 and a variant's frames of each."""
    folder = table / "work" / str(float(image_guidance)) / variant
    return [
        GeneratedClip(pair=pair, frames=read_frames(folder / pair.key)) for pair in draw_pairs(shards, num_clips, seed)
    ]


def measure_displacement(source: Pixels, frame: Pixels) -> tuple[float, float] | None:
    """Measure the mean displacement of the source's corners, (x, y) in pixels, y downwards.

    Corners, tracking and the 1 px threshold are those of Algorithm 1, but the displacements are averaged as vectors.
    Returns None if nothing moved.
    """
    grey = flow.to_grey(source)
    corners = flow.find_corners(grey)
    if corners is None:
        return None
    moved, status, _ = cv2.calcOpticalFlowPyrLK(
        grey,
        flow.to_grey(frame),
        corners,
        None,
        winSize=(flow.WINDOW_PX, flow.WINDOW_PX),
        maxLevel=flow.MAX_LEVEL,
        criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, flow.MAX_ITERATIONS, flow.EPSILON_PX),
    )
    displacements = (moved - corners).reshape(-1, 2)[status.ravel() == 1]
    displacements = displacements[np.linalg.norm(displacements, axis=1) > flow.MIN_DISPLACEMENT_PX]
    if not len(displacements):
        return None
    x, y = displacements.mean(axis=0).tolist()
    return x, y


def name_direction(displacement: tuple[float, float]) -> str:
    """Return the nearest of the four directions."""
    return max(
        DIRECTIONS, key=lambda name: displacement[0] * DIRECTIONS[name][0] + displacement[1] * DIRECTIONS[name][1]
    )


def obeys_caption(clip: GeneratedClip) -> NDArray[np.bool_]:
    """Return whether each frame moved in the caption's direction, bool [F]. A frame without motion did not."""
    displacements = [measure_displacement(clip.pair.source, frame) for frame in clip.frames]
    return np.array([moved is not None and name_direction(moved) == clip.direction for moved in displacements])
