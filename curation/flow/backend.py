"""Entry to the motion kernel of a curation run: `curation.flow.lucas_kanade`.

The kernel is imported at the first call. The driver only needs its name, and importing Numba takes half a second.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

KERNEL = "lucas_kanade-1"
"""Name of the kernel in the method digest. Change it whenever the kernel's results change."""


def measure_all_pairs(
    grey: NDArray[np.uint8], sources: range | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Measure motion_px and tracked_fraction of every pair; see `lucas_kanade.all_pairs.measure_all_pairs`."""
    from curation.flow.lucas_kanade import all_pairs

    return all_pairs.measure_all_pairs(grey, sources)


def measure_from_source(source: NDArray[np.uint8], frames: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Measure the motion from one frame to each of several others, with the kernel that measures a clip's pairs.

    source: RGB, uint8 [H, W, 3]. frames: F frames of the same shape. Returns motion_px, float32 [F].
    """
    from curation.flow.reference import to_grey

    motion_px, _ = measure_all_pairs(np.stack([to_grey(frame) for frame in (source, *frames)]), range(1))
    return motion_px


def warm_up_kernel() -> None:
    """Compile or load the kernel by measuring a pair of tiny frames."""
    frames = np.zeros((2, 64, 64), np.uint8)
    frames[:, 20:40, 20:40] = 255
    measure_all_pairs(frames)
