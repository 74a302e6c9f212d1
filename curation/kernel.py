"""The compiled code, where there is Numba; the definition by OpenCV and Pillow where there is none.

Imported when first called: the driver of a run needs the name only, and compiled code takes half a second to load.
"""

import functools
import importlib.util
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_HAS_NUMBA = importlib.util.find_spec("numba") is not None
KERNEL = "lucas_kanade-1" if _HAS_NUMBA else "opencv-1"
"""Part of the name of how a flow table was measured."""


def measure_all_pairs(
    grey: NDArray[np.uint8], sources: range | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Measure motion_px and tracked_fraction of every pair; see `curation.flow.measure_all_pairs`."""
    measured: tuple[NDArray[np.float32], NDArray[np.float32]] = _flow_module().measure_all_pairs(grey, sources)
    return measured


def warm_up_measuring() -> None:
    """Load, or compile, all that measuring will call, on frames that are too small to cost anything."""
    frames = np.zeros((2, 64, 64), np.uint8)
    frames[:, 20:40, 20:40] = 255
    measure_all_pairs(frames)


def warm_up_resizing() -> None:
    """Load, or compile, all that resizing will call."""
    resize(np.zeros((9, 9, 3), np.uint8), 16)


def resize(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize RGB pixels, uint8 [H, W, 3], to [side, side, 3] by Pillow's LANCZOS."""
    if _HAS_NUMBA:
        from curation import resample

        return resample.resize(pixels, side)
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS))


@functools.cache
def _flow_module() -> ModuleType:
    return importlib.import_module("curation.lucas_kanade" if _HAS_NUMBA else "curation.flow")
