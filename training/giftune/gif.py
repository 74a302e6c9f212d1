"""A clip's frames -> a GIF, each shown as long as the source's, by the writer of generation."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.generation.gif import write_gif


def write_clip_gif(path: Path, frames: NDArray[np.uint8], durations_ms: NDArray[np.int32]) -> None:
    """Write frames, uint8 [F, H, W, 3], as a GIF that loops; whole or not at all."""
    write_gif([Image.fromarray(frame) for frame in frames], path, durations_ms.tolist())
