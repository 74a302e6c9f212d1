"""Frames that `pix2gif evaluate table2` made and kept -> whether they move where the caption says.

Table 2 measures how far things move; which way, it does not ask.
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
    """One held-out source and the frames that one variant made of it."""

    pair: ValPair
    frames: NDArray[np.uint8]
    """RGB, uint8 [F, H, W, 3], one for each requested motion."""

    @property
    def direction(self) -> str:
        """Tell the direction that the caption names."""
        return next(word for word in self.pair.caption.split() if word in DIRECTIONS)


def read_clips(
    shards: Path, table: Path, variant: str, image_guidance: float, num_clips: int, seed: int
) -> list[GeneratedClip]:
    """Read the pairs that table 2 was made from, and a variant's frames of each."""
    folder = table / "work" / str(float(image_guidance)) / variant
    return [
        GeneratedClip(pair=pair, frames=read_frames(folder / pair.key)) for pair in draw_pairs(shards, num_clips, seed)
    ]


def measure_displacement(source: Pixels, frame: Pixels) -> tuple[float, float] | None:
    """Measure the mean displacement of the source's corners, (x, y) in pixels, y downwards.

    The corners, the tracking and the 1 px below which nothing counts are those of motion itself; only here the
    displacements are averaged as vectors. None where nothing moved.
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
    """Name the nearest of the four directions."""
    return max(
        DIRECTIONS, key=lambda name: displacement[0] * DIRECTIONS[name][0] + displacement[1] * DIRECTIONS[name][1]
    )


def obeys_caption(clip: GeneratedClip) -> NDArray[np.bool_]:
    """Tell for each frame whether it moved the caption's way, bool [F]; a frame where nothing moved did not."""
    displacements = [measure_displacement(clip.pair.source, frame) for frame in clip.frames]
    return np.array([found is not None and name_direction(found) == clip.direction for found in displacements])
