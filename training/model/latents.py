"""Encode images to latents and decode them, with Stable Diffusion's frozen autoencoder.

Images are [B, 3, 8 H, 8 W] in [-1, 1], latents [B, 4, H, W]. As in InstructPix2Pix, source and target are encoded
differently: the source is the mode of the posterior, unscaled; the target is a sample of it, times 0.18215.
"""

from typing import NamedTuple

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor


class Moments(NamedTuple):
    """Mean and log-variance of the posterior, [B, 4, H, W] each. A latent cache stores them for every target."""

    mean: Tensor
    logvar: Tensor


def encode_moments(vae: AutoencoderKL, images: Tensor) -> Moments:
    """Encode images to the mean and log-variance of the posterior. No gradient."""
    with torch.no_grad():
        posterior = vae.encode(images.to(vae.device, vae.dtype)).latent_dist
    return Moments(posterior.mean, posterior.logvar)


def encode_source(vae: AutoencoderKL, images: Tensor) -> Tensor:
    """Encode source frames to E(c_I), the mode of the posterior, unscaled."""
    return encode_moments(vae, images).mean


def sample_target(moments: Moments, noise: Tensor, scaling_factor: float = 0.18215) -> Tensor:
    """Sample a target latent z_0 from its posterior with the given noise, and scale it to about unit variance."""
    return (moments.mean + torch.exp(0.5 * moments.logvar) * noise) * scaling_factor


def decode_latents(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Decode scaled latents to images in [-1, 1]. No gradient."""
    with torch.no_grad():
        images: Tensor = vae.decode(latents.to(vae.dtype) / vae.config["scaling_factor"]).sample
    return images.clamp(-1, 1)
