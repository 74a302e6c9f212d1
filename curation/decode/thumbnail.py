"""A frame -> the little of it that frames are compared by, for cuts and for copies."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

THUMB_SIDE = 64
_COLOUR_SIDE = 32
_FLAT = 4.0


class Look(NamedTuple):
    """What is kept of a frame."""

    thumb: NDArray[np.uint8]
    """Grey values, averaged, [64, 64]."""
    colours: NDArray[np.uint8]
    """RGB of pixels on an even grid, [32, 32, 3]; picked, not averaged, at a twentieth of the time."""

    @property
    def is_flat(self) -> bool:
        """Whether there is no texture to compare: grey values that deviate by less than 4 from their mean."""
        return bool(self.thumb.std() < _FLAT)


def take_look(grey: NDArray[np.uint8], rgb: NDArray[np.uint8]) -> Look:
    """Look at a frame, given as grey values [H, W] and as RGB [H, W, 3]."""
    height, width = grey.shape
    rows, columns = ((np.arange(_COLOUR_SIDE) * side + side // 2) // _COLOUR_SIDE for side in (height, width))
    return Look(
        thumb=np.asarray(cv2.resize(grey, (THUMB_SIDE, THUMB_SIDE), interpolation=cv2.INTER_AREA), dtype=np.uint8),
        colours=rgb[rows[:, None], columns],
    )
