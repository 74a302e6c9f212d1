"""Image-video similarity: cosine similarity of a clip and an image in CLIP's space (Pix2Gif, section 4.3, Figure 7).

CLIP ViT-B/32 embeds the image and X-CLIP B/32 the clip. Scores are -1 to 1; a higher score means more similar.
"""

import numpy as np
from numpy.typing import NDArray

from training.evaluation.inputs.frames import Frames
from training.evaluation.metrics.networks import ClipEncoder, XClipEncoder


def score_clip(clip: ClipEncoder, x_clip: XClipEncoder, images: Frames, frames: Frames) -> NDArray[np.float64]:
    """Return cos(CLIP(image), X-CLIP(frames)) of each image: float64 [P].

    images: uint8 [P, H, W, 3], such as source and target. frames: one clip, uint8 [8, H, W, 3]; see `choose_frames`.
    """
    cosines = clip.embed_images(images) @ x_clip.embed_video(frames)[0]
    return np.asarray(cosines.double().cpu().numpy(), dtype=np.float64)


def choose_frames(num_frames: int, num_chosen: int) -> list[int]:
    """Return the indices of `num_chosen` frames, evenly spaced from the first to the last of `num_frames`."""
    return [int(index) for index in np.linspace(0, num_frames - 1, num_chosen).round()]
