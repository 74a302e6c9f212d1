"""Build the model and its frozen parts, from a Stable Diffusion checkpoint or with random weights."""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from transformers import CLIPTextModel, CLIPTokenizer

from shards.manifest import digest
from training.model.config import ModelConfig, TrainedOn
from training.model.pipeline import Pix2GifPipeline
from training.model.pix2gif import Pix2Gif
from training.model.pretrained.stable_diffusion import (
    Size,
    StableDiffusion,
    initialize_stable_diffusion,
    load_stable_diffusion,
)
from training.model.text.tokenizer import hash_tokenizer
from training.runtime.weights import hash_weights


@dataclass(frozen=True, kw_only=True)
class Components:
    """A Pix2Gif model and the frozen parts that it needs."""

    model: Pix2Gif
    """All trained parts."""

    vae: AutoencoderKL
    """The autoencoder, frozen: images to latents and back."""

    text_encoder: CLIPTextModel
    """CLIP's text model, frozen."""

    tokenizer: CLIPTokenizer
    """CLIP's tokenizer."""

    scheduler: DDPMScheduler
    """The noise schedule of training. `make_pipeline` derives the sampler from it."""


def build_from_stable_diffusion(
    name_or_folder: str | Path,
    config: ModelConfig,
    vae: str | Path | None = None,
    single_file_config: str | None = None,
) -> Components:
    """Build a model at step 0 from a checkpoint in diffusers format, a folder or a hub repository.

    Stable Diffusion 1.x or 2.x, or InstructPix2Pix; in float32 on the CPU. The checkpoint's `unet` holds the EMA
    weights, from which the paper starts. `vae` names another autoencoder; the paper's is stabilityai/sd-vae-ft-mse. A
    file in the original format works too (`load_single_file`).
    Raises ModelError for missing or unsuitable weights.
    """
    return _assemble(load_stable_diffusion(name_or_folder, vae=vae, single_file_config=single_file_config), config)


def build_random(config: ModelConfig, size: Size, seed: int = 0, device: str | torch.device = "cpu") -> Components:
    """Build a model with random weights, deterministic by seed and type of device.

    Does not change the state of torch's random generators. On the meta device, tensors have shapes but no data.
    """
    device = torch.device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.device(device):
        torch.manual_seed(seed)
        return _assemble(initialize_stable_diffusion(size), config)


def fingerprint_frozen_parts(parts: Components | StableDiffusion) -> dict[str, str]:
    """Return the SHA-256 of each frozen part, as it was loaded, by its name in messages."""
    schedule = [parts.scheduler.alphas_cumprod.tolist(), parts.scheduler.config["prediction_type"]]
    return {
        "autoencoder": hash_weights(parts.vae),
        "text encoder": hash_weights(parts.text_encoder),
        "tokenizer": hash_tokenizer(parts.tokenizer),
        "noise schedule": digest(schedule),
    }


def make_pipeline(components: Components, trained_on: TrainedOn | None = None) -> Pix2GifPipeline:
    """Make a generation pipeline with the Euler ancestral sampler. It shares its weights with the components.

    `trained_on` None means the paper's data.
    """
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
        trained_on=None if trained_on is None else asdict(trained_on),
    )


def _assemble(parts: StableDiffusion, config: ModelConfig) -> Components:
    return Components(
        model=Pix2Gif.create(parts.unet, config).train(),
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        scheduler=parts.scheduler,
    )
