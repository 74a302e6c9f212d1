"""CLIPSim: frames and a caption -> their mean cosine in CLIP's space (Wu et al., 2021, GODIVA)."""

import numpy as np
from numpy.typing import NDArray

from training.evaluation.inputs.clips import Frames
from training.evaluation.metrics.networks import ClipEncoder


def score_frames(clip: ClipEncoder, frames: Frames, caption: str) -> NDArray[np.float64]:
    """Score each frame, uint8 [T, H, W, 3], by the cosine of its embedding and the plain caption's: float64 [T]."""
    cosines = clip.embed_pictures(frames) @ clip.embed_text(caption)[0]
    return np.asarray(cosines.double().cpu().numpy(), dtype=np.float64)
