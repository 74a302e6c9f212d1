"""The way of measuring that a run uses: the compiled all-pairs kernel.

The kernel is imported when it is first called: the driver needs the name only, and Numba takes half a second to load.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

KERNEL = "lucas_kanade-1"
"""Name of the kernel in the method digest. Changes whenever its results do."""


def measure_all_pairs(
    grey: NDArray[np.uint8], sources: range | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Measure motion_px and tracked_fraction of every pair; see `curation.flow.reference.measure_all_pairs`."""
    from curation.flow.lucas_kanade import all_pairs as lucas_kanade

    return lucas_kanade.measure_all_pairs(grey, sources)


def measure_from_source(source: NDArray[np.uint8], frames: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Measure the motion from one frame to each of several others, with the kernel that measures a clip's pairs.

    source: RGB, uint8 [H, W, 3]. frames: F frames of the same shape. Returns motion_px, float32 [F].
    """
    from curation.flow.reference import to_grey

    motion_px, _ = measure_all_pairs(np.stack([to_grey(frame) for frame in (source, *frames)]), range(1))
    return motion_px


def warm_up_kernel() -> None:
    """Compile or load all that measuring calls, on frames too small to take time."""
    frames = np.zeros((2, 64, 64), np.uint8)
    frames[:, 20:40, 20:40] = 255
    measure_all_pairs(frames)
