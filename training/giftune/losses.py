"""What a step is held to: the noise, the background's depth, the change from frame to frame.

F frames, latents of c x h x w, pictures of H x W. The paper names the two regularizations in words alone (GIF-Tune,
Method: regularization); their forms are ours.
"""

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from training.giftune.config import Consistency


def noise_target(scheduler: DDPMScheduler, latents: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
    """Return what the model is to predict of noisy latents: the noise, or the velocity. Shapes as the latents'."""
    if scheduler.config["prediction_type"] == "epsilon":
        return noise
    return scheduler.get_velocity(latents, noise, timestep)  # type: ignore[arg-type]


def estimate_clean(scheduler: DDPMScheduler, noisy: Tensor, predicted: Tensor, timestep: Tensor) -> Tensor:
    """Estimate x_0 from noisy latents and what was predicted of them (Song et al., 2021, eq. 9)."""
    alpha_bar = signal_share(scheduler, timestep).to(noisy.device)
    if scheduler.config["prediction_type"] == "epsilon":
        return (noisy - (1 - alpha_bar).sqrt() * predicted) / alpha_bar.sqrt()
    return alpha_bar.sqrt() * noisy - (1 - alpha_bar).sqrt() * predicted


def signal_share(scheduler: DDPMScheduler, timestep: Tensor) -> Tensor:
    """Return alpha-bar of a timestep, [1]: the share of the signal's variance in a noisy latent, 0 to 1."""
    return scheduler.alphas_cumprod[timestep.cpu()].reshape(1)


def far_half(disparity: Tensor) -> Tensor:
    """Find the background: the pixels of each picture that are farther than its median; bool [F, H, W]."""
    return disparity <= disparity.flatten(1).median(dim=1).values[:, None, None]


def background_loss(disparity: Tensor, source_disparity: Tensor) -> Tensor:
    """Compare disparities [F, H, W] where the source is far: mean absolute difference, a scalar.

    Measured in the source picture's own range, as a relative model knows no unit.
    """
    lowest, highest = torch.aminmax(source_disparity.flatten(1), dim=1)
    spread = (highest - lowest).clamp(min=1e-6)[:, None, None]
    difference = ((disparity - source_disparity) / spread).abs()
    far = far_half(source_disparity)
    return difference[far].mean()


def consistency_loss(clean: Tensor, source: Tensor, form: Consistency) -> Tensor:
    """Hold the change between consecutive frames of latents [F, c, h, w]: mean square, a scalar.

    `change` compares it with the source's own; `stillness` wants none, which is what the paper says and what rewards
    a clip that does not move.
    """
    change = clean[1:] - clean[:-1]
    if form == "change":
        change = change - (source[1:] - source[:-1])
    return change.square().mean()
