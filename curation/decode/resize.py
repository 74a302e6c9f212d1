"""Resize a frame to the run's resolution."""

import numpy as np
from numpy.typing import NDArray


def warm_up_resizing() -> None:
    """Load, or compile, all that resizing will call."""
    resize(np.zeros((9, 9, 3), np.uint8), 16)


def resize(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize RGB pixels, uint8 [H, W, 3], to [side, side, 3] by Pillow's LANCZOS."""
    from curation.decode import lanczos  # The driver needs the name only, and Numba takes half a second to load.

    return lanczos.resize(pixels, side)
