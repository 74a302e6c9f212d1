"""Losses, and the dropping of conditions that classifier-free guidance needs. Every loss is a number a sample, [B]."""

from typing import NamedTuple

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

PERCEPTUAL_WEIGHT = 0.01
DROP_RATE = 0.05


class Conditions(NamedTuple):
    """The conditions of a batch after dropping: text embeddings [B, 77, D] and source latents [B, 4, H, W]."""

    text_embeds: Tensor
    source_latent: Tensor


def drop_conditions(
    draw: Tensor, text_embeds: Tensor, null_embeds: Tensor, source_latent: Tensor, rate: float = DROP_RATE
) -> Conditions:
    """Drop conditions by one uniform draw r in [0, 1) a row, [B].

    r < rate: text; rate <= r < 2 rate: text and image; 2 rate <= r < 3 rate: image. A dropped text is `null_embeds`,
    [1, 77, D]; a dropped image is zeros. What comes back goes everywhere: through FlowNet, into the U-Net and as the
    source of the perceptual loss. Motion is never dropped (Brooks et al., 2023, with the authors' code).
    """
    no_text = draw < 2 * rate
    no_image = (draw >= rate) & (draw < 3 * rate)
    text_embeds = torch.where(no_text[:, None, None], null_embeds.to(text_embeds), text_embeds)
    # Not a product: a dropped source stays zero even where it is not finite.
    source_latent = torch.where(no_image[:, None, None, None], torch.zeros_like(source_latent), source_latent)
    return Conditions(text_embeds, source_latent)


def diffusion_loss(prediction: Tensor, noise: Tensor) -> Tensor:
    """Mean squared error between predicted and true noise, [B, 4, H, W] each, in float32: [B] (Pix2Gif, eq. 3)."""
    return (prediction.float() - noise.float()).square().flatten(1).mean(1)


def snr_weights(scheduler: DDPMScheduler, timesteps: Tensor, gamma: float) -> Tensor:
    """Weigh samples by min(SNR, gamma) / SNR, [B], for a model that predicts noise (Hang et al., 2023, eq. 7)."""
    alphas = scheduler.alphas_cumprod.to(timesteps.device, torch.float32)[timesteps]
    snr = alphas / (1 - alphas)
    return snr.clamp(max=gamma) / snr


def total_loss(
    noise_loss: Tensor,
    perceptual_loss: Tensor | None = None,
    weights: Tensor | None = None,
    perceptual_weight: float = PERCEPTUAL_WEIGHT,
) -> Tensor:
    """Add the losses, [B] each: [B] (Pix2Gif, eq. 8). `weights`, [B], are `snr_weights`; they weigh the noise alone."""
    total = noise_loss if weights is None else noise_loss * weights
    return total if perceptual_loss is None else total + perceptual_weight * perceptual_loss
