"""Make all that training needs of the model: from a Stable Diffusion 1.x checkpoint, or with random weights."""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from transformers import CLIPTextModel, CLIPTokenizer

from training.model.config import ModelConfig
from training.model.pipeline import Pix2GifPipeline
from training.model.pix2gif import Pix2Gif
from training.model.stable_diffusion import Size, StableDiffusion, draw_stable_diffusion, load_stable_diffusion

FT_MSE_VAE = "stabilityai/sd-vae-ft-mse"


@dataclass(frozen=True, kw_only=True)
class Components:
    """A model and the frozen parts around it."""

    model: Pix2Gif
    """What is trained."""

    vae: AutoencoderKL
    """The autoencoder, frozen: images to latents and back."""

    text_encoder: CLIPTextModel
    """CLIP's text model, frozen."""

    tokenizer: CLIPTokenizer
    """CLIP's tokenizer."""

    scheduler: DDPMScheduler
    """The noise schedule of training; `make_pipeline` makes the sampler of generation from it."""


def build_from_stable_diffusion(
    name_or_folder: str | Path, config: ModelConfig, vae: str | Path | None = None
) -> Components:
    """Build a model at step 0 from a Stable Diffusion 1.x checkpoint in diffusers' form, a folder or a hub repository.

    Its `unet` holds the EMA weights that the paper starts from. `vae` names another autoencoder, such as FT_MSE_VAE,
    the paper's. All in float32, on the CPU. Raises ModelError where weights are not, or are not Stable Diffusion 1.x.
    """
    return _assemble(load_stable_diffusion(name_or_folder, vae=vae), config)


def build_random(config: ModelConfig, size: Size, seed: int = 0, device: str | torch.device = "cpu") -> Components:
    """Build a model with random weights. `sd15` has Stable Diffusion 1.5's shapes; `tiny` runs on a CPU.

    The same seed gives the same weights on the same kind of device; torch's own generators are left as they were.
    On the meta device there are shapes and no weights. The tokenizer is a small one made here, for both sizes.
    """
    device = torch.device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.device(device):
        torch.manual_seed(seed)
        return _assemble(draw_stable_diffusion(size), config)


def make_pipeline(components: Components) -> Pix2GifPipeline:
    """Make the pipeline of generation, with Euler ancestral; it shares its weights with the components."""
    model = components.model
    return Pix2GifPipeline(
        vae=components.vae,
        text_encoder=components.text_encoder,
        tokenizer=components.tokenizer,
        unet=model.unet,
        scheduler=EulerAncestralDiscreteScheduler.from_config(components.scheduler.config),
        motion_embedding=model.motion_embedding,
        warping=model.warping,
        model_variant=model.config.variant,
    )


def _assemble(parts: StableDiffusion, config: ModelConfig) -> Components:
    """Make the model of an image model's U-Net."""
    return Components(
        model=Pix2Gif.create(parts.unet, config).train(),
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        scheduler=parts.scheduler,
    )
