"""Losses of a tuning step: noise prediction, depth of the background, change between frames.

F frames, latents of c x h x w, images of H x W. The paper describes both regularizations only in words (GIF-Tune,
Method: regularization); the formulas are ours.
"""

from collections.abc import Sequence

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from training.giftune.config import Consistency
from training.giftune.depth import Disparity


def prediction_target(scheduler: DDPMScheduler, latents: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
    """Return what the model has to predict, the noise or the velocity; all shapes are those of the latents."""
    if scheduler.config["prediction_type"] == "epsilon":
        return noise
    return scheduler.get_velocity(latents, noise, timestep)  # type: ignore[arg-type]


def estimate_clean(scheduler: DDPMScheduler, noisy: Tensor, predicted: Tensor, timestep: Tensor) -> Tensor:
    """Estimate the clean latents x_0 from noisy ones and a prediction (Song et al., 2021, eq. 9)."""
    alpha_bar = get_alpha_bar(scheduler, timestep).to(noisy.device)
    if scheduler.config["prediction_type"] == "epsilon":
        return (noisy - (1 - alpha_bar).sqrt() * predicted) / alpha_bar.sqrt()
    return alpha_bar.sqrt() * noisy - (1 - alpha_bar).sqrt() * predicted


def get_alpha_bar(scheduler: DDPMScheduler, timestep: Tensor) -> Tensor:
    """Return alpha-bar of a timestep, [1]: the signal's share of the variance of a noisy latent, 0 to 1."""
    return scheduler.alphas_cumprod[timestep.cpu()].reshape(1)


def find_background(disparity: Tensor) -> Tensor:
    """Return a mask of the farther half of the pixels of each image: disparity [F, H, W] -> bool [F, H, W]."""
    return disparity <= disparity.flatten(1).median(dim=1).values[:, None, None]


def background_loss(disparity: Tensor, source_disparity: Tensor) -> Tensor:
    """Return the mean absolute difference of disparities [F, H, W] over the source's background, a scalar.

    The unit is the disparity range of the source image, because models of relative depth have no unit.
    """
    lowest, highest = torch.aminmax(source_disparity.flatten(1), dim=1)
    spread = (highest - lowest).clamp(min=1e-6)[:, None, None]
    difference = ((disparity - source_disparity) / spread).abs()
    return difference[find_background(source_disparity)].mean()


def consistency_loss(clean: Tensor, source: Tensor, form: Consistency) -> Tensor:
    """Return the mean square change between consecutive frames of latents [F, c, h, w], a scalar.

    `change` subtracts the change of the source first. `stillness` does not: it follows the paper's wording, but rewards
    a clip that does not move.
    """
    change = clean[1:] - clean[:-1]
    if form == "change":
        change = change - (source[1:] - source[:-1])
    return change.square().mean()


class BackgroundRegularization:
    """The background loss of decoded latents, through the autoencoder and the depth model (GIF-Tune, Method)."""

    def __init__(self, vae: AutoencoderKL, disparity: Disparity, images: Tensor, frames_at_once: int) -> None:
        """Compute the disparity of the source frames, [F, 3, H, W] in [-1, 1]."""
        self._vae, self._disparity = vae, disparity
        with torch.no_grad():
            self._source = torch.cat([disparity(part) for part in torch.split(images, frames_at_once)])

    def __call__(self, clean: Tensor, indices: Sequence[int]) -> Tensor:
        """Return the mean loss of the frames `indices` of clean latents [F, c, h, w], a scalar.

        Frames are processed one by one with checkpointing, so memory is needed for the activations of one frame only.
        """
        losses = [checkpoint(self._compare, clean[index : index + 1], index, use_reentrant=False) for index in indices]
        return torch.stack(losses).mean()

    def _compare(self, clean: Tensor, index: int) -> Tensor:
        images = self._vae.decode(clean.to(self._vae.dtype) / self._vae.config["scaling_factor"]).sample
        return background_loss(self._disparity(images.float()), self._source[index : index + 1])


def choose_frames(num_frames: int, num_chosen: int, offset: float) -> list[int]:
    """Return `num_chosen` evenly spaced frame indices; `offset`, in [0, 1), places the first one."""
    num_chosen, first = min(num_chosen, num_frames), int(offset * num_frames)
    return [(first + number * num_frames // num_chosen) % num_frames for number in range(num_chosen)]
