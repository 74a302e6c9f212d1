"""The background regularization: what is far in the source must be as far in what the model makes of it.

F frames, latents of c x h x w, pictures of H x W.
"""

from collections.abc import Sequence

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from training.giftune.depth import Disparity
from training.giftune.losses import background_loss


class BackgroundRegularization:
    """Compares the background's depth, through the autoencoder and the depth model (GIF-Tune, Method)."""

    def __init__(self, vae: AutoencoderKL, disparity: Disparity, images: Tensor, frames_at_once: int) -> None:
        """Measure the source frames, [F, 3, H, W] in [-1, 1], once."""
        self._vae, self._disparity = vae, disparity
        with torch.no_grad():
            self._source = torch.cat([disparity(part) for part in torch.split(images, frames_at_once)])

    def __call__(self, clean: Tensor, indices: Sequence[int]) -> Tensor:
        """Compare estimates of clean latents [F, c, h, w] with the source, in the frames named; a scalar.

        A frame at a time, and computed again for the gradient: what is kept is one frame's and not all of theirs.
        """
        losses = [checkpoint(self._compare, clean[index : index + 1], index, use_reentrant=False) for index in indices]
        return torch.stack(losses).mean()

    def _compare(self, clean: Tensor, index: int) -> Tensor:
        images = self._vae.decode(clean.to(self._vae.dtype) / self._vae.config["scaling_factor"]).sample
        return background_loss(self._disparity(images.float()), self._source[index : index + 1])


def spread_frames(num_frames: int, num: int, where: float) -> list[int]:
    """Choose `num` of the frames, evenly spread, the first where chance says (from 0 to below 1)."""
    num, first = min(num, num_frames), int(where * num_frames)
    return [(first + number * num_frames // num) % num_frames for number in range(num)]
