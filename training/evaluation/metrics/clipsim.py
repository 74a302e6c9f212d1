"""CLIPSim: cosine similarity of generated frames and their caption in CLIP's space (Wu et al., 2021, GODIVA).

CLIPSim of a set of clips is the mean over all frames of all clips, -1 to 1; higher is better. The caption is embedded
as it is, without a prompt template.
"""

import numpy as np
from numpy.typing import NDArray

from training.evaluation.inputs.frames import Frames
from training.evaluation.metrics.networks import ClipEncoder


def score_frames(clip: ClipEncoder, frames: Frames, caption: str) -> NDArray[np.float64]:
    """Return cos(CLIP(frame), CLIP(caption)) of each frame of uint8 [T, H, W, 3]: float64 [T]."""
    cosines = clip.embed_images(frames) @ clip.embed_text(caption)[0]
    return np.asarray(cosines.double().cpu().numpy(), dtype=np.float64)
