"""RGB and RGBA pictures -> frames at the run's resolution, by the resize that GIFs have."""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curation.config import SOURCE_SIZE
from shards.pictures import composite_on_white


class FrameResizer:
    """Resize the pictures of one animation. Pictures of another size than the first become as large as it."""

    def __init__(self, resolution: int) -> None:
        self._resolution = resolution
        self._target: tuple[int, int] | None = None
        self._size: tuple[int, int] | None = None

    def resize(self, rgba: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Composite a picture, uint8 [H, W, 4], on white and resize it; returns planes and grey as in `Frame`."""
        from curation.decode.gif.drawing import allocate_pixels  # Imports Numba, which the driver does not need.
        from curation.decode.lanczos import Resizer

        height, width = rgba.shape[:2]
        if self._size != (width, height):
            self._size = (width, height)
            self._target = self._target or (self._size if self._resolution == SOURCE_SIZE else (self._resolution,) * 2)
            self._resizer = Resizer(self._size, self._target)
            self._canvas = allocate_pixels(width, height)
        opaque = _make_opaque(rgba).view(np.int32)[:, :, 0]
        cv2.transpose(opaque, self._canvas[:width, :height].view(np.int32))
        return self._resizer.resize(self._canvas)


def _make_opaque(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if rgba[:, :, 3].min(initial=255) == 255:
        return np.ascontiguousarray(rgba)
    return np.array(composite_on_white(Image.fromarray(rgba)).convert("RGBA"))
