"""Thumbnail of a frame: the reduced form from which scene cuts and fingerprints are computed."""

import functools
from types import ModuleType
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

GREY_SIDE = 64
_COLOUR_SIDE = 32
_MIN_TEXTURE_STD = 4.0
_AVERAGED_SHAPE = (4 * GREY_SIDE, 4 * GREY_SIDE)
"""Shape of the frames that are averaged by compiled code, in a tenth of OpenCV's time: the default resolution."""


class Thumbnail(NamedTuple):
    """Reduced form of one frame."""

    grey: NDArray[np.uint8]
    """Grey values averaged over areas, uint8 [64, 64]."""
    colours: NDArray[np.uint8]
    """RGB of pixels sampled on a regular grid, uint8 [32, 32, 3]. Sampling takes a twentieth of averaging's time."""
    blurred: NDArray[np.int16]
    """Grey values averaged to 32 x 32 pixels and blurred, times 16, less 2040, int16 [32 * 32]. A sum of 400 products
    fits 32 bits."""
    counts: NDArray[np.int32]
    """Number of sampled pixels of each of 8 x 8 x 8 colours, int32 [512]."""
    is_flat: bool
    """Whether the frame has no texture to compare: the standard deviation of its grey values is below 4."""


@functools.cache
def load_kernel() -> ModuleType:
    """Import the compiled code at its first use: importing Numba takes half a second that the driver does not need."""
    from curation.decode import thumbnail_kernel

    return thumbnail_kernel


def make_thumbnail(grey: NDArray[np.uint8], rgb: NDArray[np.uint8]) -> Thumbnail:
    """Make the thumbnail of a frame, given as grey values, uint8 [H, W], and as RGB, uint8 [H, W, 3]."""
    kernel = load_kernel()
    small = np.empty((GREY_SIDE, GREY_SIDE), np.uint8)
    if grey.shape == _AVERAGED_SHAPE:
        kernel.average_blocks(np.ascontiguousarray(grey).view(np.uint32), small)
    else:
        cv2.resize(grey, (GREY_SIDE, GREY_SIDE), dst=small, interpolation=cv2.INTER_AREA)
    colours = np.empty((_COLOUR_SIDE, _COLOUR_SIDE, 3), np.uint8)
    kernel.sample_colours(rgb, colours)
    blurred, counts = np.empty(32 * 32, np.int16), np.empty(512, np.int32)
    is_flat = kernel.describe(small, colours, _MIN_TEXTURE_STD, blurred, counts)
    return Thumbnail(grey=small, colours=colours, blurred=blurred, counts=counts, is_flat=is_flat)
