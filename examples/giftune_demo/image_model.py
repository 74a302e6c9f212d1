"""Train the demo's text-to-image model, a small model with the classes of Stable Diffusion.

Shapes: N images of 32 x 32, latents of 4 x 16 x 16.
"""

import dataclasses
import shutil
from pathlib import Path

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from examples.giftune_demo.world import Pictures
from examples.toy_world.autoencoder import AutoencoderPlan, Echo, train_autoencoder
from examples.toy_world.weights import DenoiserPlan, write_stable_diffusion
from training.model.latents import encode_moments
from training.model.pretrained.stable_diffusion import StableDiffusion, load_stable_diffusion
from training.model.text.encoder import encode_text, tokenize

_WARMUP_SHARE = 0.05
_SNR_GAMMA = 0.1
"""Weights timesteps by min(SNR, gamma) / SNR, because the noisiest ones decide the content of an image."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageModelPlan:
    """Size and training of the image model."""

    num_pictures: int = 2500
    autoencoder: AutoencoderPlan = dataclasses.field(
        default_factory=lambda: AutoencoderPlan(widths=(16, 32), crop_steps=600, whole_steps=0)
    )
    denoiser: DenoiserPlan = dataclasses.field(default_factory=lambda: DenoiserPlan(text_width=64))
    steps: int = 1200
    batch: int = 32
    learning_rate: float = 2e-3
    """Peak learning rate: linear warm-up over 5 % of the steps, then annealed to zero."""
    dropped_captions: float = 0.1
    """Share of images trained without caption, for classifier-free guidance."""


def make_image_model(folder: Path, pictures: Pictures, plan: ImageModelPlan, seed: int, echo: Echo) -> None:
    """Train autoencoder and U-Net on images, and write all parts atomically in the format of diffusers."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    vae = train_autoencoder(pictures.pixels, plan.autoencoder, seed, echo)
    write_stable_diffusion(temporary, vae, plan.denoiser, seed)
    parts = load_stable_diffusion(temporary)
    train_denoiser(parts, pictures, plan, seed, echo)
    parts.unet.save_pretrained(temporary / "unet")
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def train_denoiser(
    parts: StableDiffusion, pictures: Pictures, plan: ImageModelPlan, seed: int, echo: Echo
) -> UNet2DConditionModel:
    """Train the U-Net in place to predict the noise in the images' latents (Ho et al., 2020, algorithm 1)."""
    with torch.no_grad():
        batches = pictures.pixels.split(64)
        latents = torch.cat([encode_moments(parts.vae, batch.float() / 127.5 - 1).mean for batch in batches])
    captions = ["", *sorted(set(pictures.captions))]
    text = encode_text(parts.text_encoder, tokenize(parts.tokenizer, captions))
    caption_of = torch.tensor([captions.index(caption) for caption in pictures.captions])
    optimizer = torch.optim.AdamW(parts.unet.parameters(), lr=plan.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.learning_rate, total_steps=plan.steps, pct_start=_WARMUP_SHARE
    )
    snr = parts.scheduler.alphas_cumprod / (1 - parts.scheduler.alphas_cumprod)
    weights = snr.clamp(max=_SNR_GAMMA) / snr
    generator = torch.Generator().manual_seed(seed)
    parts.unet.train()
    for step in range(plan.steps):
        chosen = torch.randint(len(latents), (plan.batch,), generator=generator)
        timesteps = torch.randint(len(snr), (plan.batch,), generator=generator)
        noise = torch.randn((plan.batch, *latents.shape[1:]), generator=generator)
        dropped = torch.rand(plan.batch, generator=generator) < plan.dropped_captions
        noisy = parts.scheduler.add_noise(latents[chosen], noise, timesteps)  # type: ignore[arg-type]
        predicted = parts.unet(noisy, timesteps, text[caption_of[chosen].masked_fill(dropped, 0)]).sample
        loss = (weights[timesteps] * (predicted - noise).square().mean((1, 2, 3))).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parts.unet.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0 or step + 1 == plan.steps:
            echo(f"image model: step {step + 1} of {plan.steps}, weighted loss {float(loss.detach()):.4f}")
    parts.unet.eval()
    return parts.unet
