"""Training losses, one value per sample [B], and the dropping of conditions for classifier-free guidance."""

from typing import NamedTuple

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

PERCEPTUAL_WEIGHT = 0.01
"""Weight of the perceptual loss (Pix2Gif, eq. 8)."""


class DropRates(NamedTuple):
    """Probabilities of the three cases of `drop_conditions` (Brooks et al., 2023, section 3.2.1; the authors' code)."""

    text: float = 0.05
    """Of dropping the text alone."""
    both: float = 0.05
    """Of dropping text and image."""
    image: float = 0.05
    """Of dropping the image alone."""


DROP_RATES = DropRates()


class Conditions(NamedTuple):
    """Conditions of a batch: text embeddings [B, 77, D], source latents [B, 4, H, W], and which rows have an image."""

    text_embeds: Tensor
    source_latent: Tensor
    has_image: Tensor
    """bool [B], false where the image was dropped."""


def drop_conditions(
    draw: Tensor, text_embeds: Tensor, null_embeds: Tensor, source_latent: Tensor, rates: DropRates = DROP_RATES
) -> Conditions:
    """Drop the conditions of random samples, by one uniform draw r in [0, 1) per sample: `draw`, [B].

    From 0 on, r drops the text with the first of `rates`, then text and image, then the image. A dropped text becomes
    `null_embeds`, [1, 77, D]; a dropped image becomes zeros. FlowNet, the U-Net and the perceptual loss all use the
    result. Motion is never dropped.
    """
    no_text = draw < rates.text + rates.both
    no_image = (draw >= rates.text) & (draw < rates.text + rates.both + rates.image)
    text_embeds = torch.where(no_text[:, None, None], null_embeds.to(text_embeds), text_embeds)
    # torch.where and not a product: a dropped source is zero even if it was not finite.
    source_latent = torch.where(no_image[:, None, None, None], torch.zeros_like(source_latent), source_latent)
    return Conditions(text_embeds, source_latent, ~no_image)


def mean_squared_error(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean squared error of each sample: [B, 4, H, W] each -> float32 [B].

    Of the predicted noise it is the diffusion loss (Pix2Gif, eq. 3), or of the velocity with velocity prediction. Of
    z_W to the target's latent it is the error of the warp.
    """
    return (first.float() - second.float()).square().flatten(1).mean(1)


def snr_weights(scheduler: DDPMScheduler, timesteps: Tensor, gamma: float) -> Tensor:
    """Return min-SNR loss weights for the scheduler's prediction type: timesteps [B] -> [B].

    min(SNR, gamma) / SNR for noise and min(SNR, gamma) / (SNR + 1) for velocity (Hang et al., 2023, section 3.4).
    """
    alphas = scheduler.alphas_cumprod.to(timesteps.device, torch.float32)[timesteps]
    snr = alphas / (1 - alphas)
    return snr.clamp(max=gamma) / (snr if scheduler.config["prediction_type"] == "epsilon" else snr + 1)


def total_loss(
    noise_loss: Tensor,
    perceptual_loss: Tensor | None = None,
    weights: Tensor | None = None,
    perceptual_weight: float = PERCEPTUAL_WEIGHT,
) -> Tensor:
    """Return the total loss (Pix2Gif, eq. 8): [B] each -> [B]. `weights` (`snr_weights`) scale the noise loss only."""
    total = noise_loss if weights is None else noise_loss * weights
    return total if perceptual_loss is None else total + perceptual_weight * perceptual_loss
