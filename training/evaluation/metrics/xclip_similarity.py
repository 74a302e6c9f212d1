"""Image-video similarity: a clip, its source and target -> cosines in CLIP's space (Pix2Gif, section 4.3, Figure 7)."""

import numpy as np
from numpy.typing import NDArray

from training.evaluation.inputs.clips import Frames
from training.evaluation.metrics.networks import ClipEncoder, XClipEncoder


def score_clip(clip: ClipEncoder, x_clip: XClipEncoder, pictures: Frames, frames: Frames) -> NDArray[np.float64]:
    """Score a clip, uint8 [8, H, W, 3], against pictures, uint8 [P, H, W, 3], such as source and target: float64 [P].

    The cosine of CLIP's embedding of the picture and X-CLIP's of the clip.
    """
    cosines = clip.embed_pictures(pictures) @ x_clip.embed_video(frames)[0]
    return np.asarray(cosines.double().cpu().numpy(), dtype=np.float64)


def choose_frames(num_frames: int, num_wanted: int) -> list[int]:
    """Choose frames spread evenly over a clip, the first and the last among them."""
    return [int(index) for index in np.linspace(0, num_frames - 1, num_wanted).round()]
