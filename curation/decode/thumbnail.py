"""Thumbnail of a frame: the reduced form from which scene cuts and fingerprints are computed."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

GREY_SIDE = 64
_COLOUR_SIDE = 32
_MIN_TEXTURE_STD = 4.0


class Thumbnail(NamedTuple):
    """Reduced form of one frame."""

    grey: NDArray[np.uint8]
    """Grey values averaged over areas, uint8 [64, 64]."""
    colours: NDArray[np.uint8]
    """RGB of pixels sampled on a regular grid, uint8 [32, 32, 3]. Sampling takes a twentieth of averaging's time."""

    @property
    def is_flat(self) -> bool:
        """Whether the frame has no texture to compare: the standard deviation of its grey values is below 4."""
        return bool(self.grey.std() < _MIN_TEXTURE_STD)


def make_thumbnail(grey: NDArray[np.uint8], rgb: NDArray[np.uint8]) -> Thumbnail:
    """Make the thumbnail of a frame, given as grey values, uint8 [H, W], and as RGB, uint8 [H, W, 3]."""
    height, width = grey.shape
    rows, columns = ((np.arange(_COLOUR_SIDE) * side + side // 2) // _COLOUR_SIDE for side in (height, width))
    return Thumbnail(
        grey=np.asarray(cv2.resize(grey, (GREY_SIDE, GREY_SIDE), interpolation=cv2.INTER_AREA), dtype=np.uint8),
        colours=rgb[rows[:, None], columns],
    )
