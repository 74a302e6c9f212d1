"""Frames -> a GIF, each shown as long as the source's."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shards.atomic import write_atomically


def write_gif(path: Path, frames: NDArray[np.uint8], durations_ms: NDArray[np.int32]) -> None:
    """Write frames, uint8 [F, H, W, 3], as a GIF that loops; whole or not at all."""
    first, *others = (Image.fromarray(frame).quantize(256) for frame in frames)
    with write_atomically(path) as temporary:
        first.save(temporary, format="GIF", save_all=True, append_images=others, duration=durations_ms.tolist(), loop=0)
