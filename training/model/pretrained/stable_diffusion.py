"""The parts of Stable Diffusion: loaded from a diffusers checkpoint, or initialized with random weights."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training.model.config import PredictionType
from training.model.errors import ModelError
from training.model.pretrained.loading import LOADING_ERRORS, check_name_or_folder, load_weights
from training.model.pretrained.single_file import load_single_file
from training.model.text.encoder import NUM_TOKENS, check_tokenizer
from training.model.text.tokenizer import make_tokenizer

Size = Literal["tiny", "sd15"]
"""`sd15`: the shapes of Stable Diffusion 1.5. `tiny`: small enough for tests on a CPU."""


@dataclass(frozen=True, kw_only=True)
class StableDiffusion:
    """The parts of a text-to-image model. Freezes the autoencoder and the text model."""

    unet: UNet2DConditionModel
    """The denoiser."""

    vae: AutoencoderKL
    """The autoencoder: images to latents and back, frozen."""

    text_encoder: CLIPTextModel
    """CLIP's text model, frozen."""

    tokenizer: CLIPTokenizer
    """CLIP's tokenizer."""

    scheduler: DDPMScheduler
    """The noise schedule of training."""

    def __post_init__(self) -> None:
        for frozen in (self.vae, self.text_encoder):
            frozen.requires_grad_(False)
            frozen.eval()


def load_stable_diffusion(
    name_or_folder: str | Path,
    *,
    vae: str | Path | None = None,
    single_file_config: str | None = None,
) -> StableDiffusion:
    """Load the parts from a folder, a hub repository or one file, in float32 on the CPU; `vae` names an autoencoder.

    Loads Stable Diffusion 1.x and 2.x, and InstructPix2Pix, whose U-Net has 8 input channels. Raises ModelError if
    weights are missing, if the parts do not fit each other, or if the model predicts neither noise nor velocity. Small
    parts are loaded first, so most errors come early.
    """
    source = str(name_or_folder)
    parts: dict[str, Any] = {}
    if Path(source).is_file():
        parts = load_single_file(Path(source), single_file_config)
    else:
        check_name_or_folder(source)
    tokenizer = parts.get("tokenizer") or _load_files(CLIPTokenizer.from_pretrained, "tokenizer", source, "tokenizer")
    try:
        check_tokenizer(tokenizer)
    except ModelError as error:
        raise ModelError(f"no tokenizer can be loaded from {source}/tokenizer; its files are missing") from error
    scheduler = parts.get("scheduler") or _load_files(DDPMScheduler.from_pretrained, "scheduler", source, "scheduler")
    if (kind := scheduler.config["prediction_type"]) not in get_args(PredictionType):
        raise ModelError(
            f"the model in {source} predicts {kind}; use one that predicts {' or '.join(get_args(PredictionType))}"
        )
    in_float32 = {"torch_dtype": torch.float32}
    unet = parts.get("unet") or load_weights(
        UNet2DConditionModel.from_pretrained, "U-Net", source, subfolder="unet", **in_float32
    )
    text_encoder = parts.get("text_encoder") or load_weights(
        CLIPTextModel.from_pretrained, "text model", source, subfolder="text_encoder"
    )
    if vae is not None:
        autoencoder = load_weights(AutoencoderKL.from_pretrained, "autoencoder", str(vae), **in_float32)
    else:
        autoencoder = parts.get("vae") or load_weights(
            AutoencoderKL.from_pretrained, "autoencoder", source, subfolder="vae", **in_float32
        )
    width, expected = text_encoder.config.hidden_size, unet.config["cross_attention_dim"]
    if width != expected:
        raise ModelError(f"the text model in {source} has width {width}, but its U-Net needs {expected}")
    return StableDiffusion(
        unet=unet, vae=autoencoder, text_encoder=text_encoder.float(), tokenizer=tokenizer, scheduler=scheduler
    )


def make_random_stable_diffusion(size: Size, seed: int = 0) -> StableDiffusion:
    """Make the parts with random weights on the CPU, without changing the state of torch's random generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return initialize_stable_diffusion(size)


def initialize_stable_diffusion(size: Size) -> StableDiffusion:
    """Make the parts with random weights from torch's random generator, on torch's default device.

    Both sizes have the small tokenizer of `make_tokenizer`.
    """
    tokenizer = make_tokenizer()
    return StableDiffusion(
        unet=UNet2DConditionModel(**_UNET[size]),
        vae=AutoencoderKL(**_VAE[size]),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                **_TEXT[size],
                max_position_embeddings=NUM_TOKENS,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        ),
        tokenizer=tokenizer,
        scheduler=DDPMScheduler(**_SCHEDULE),
    )


def _load_files(from_pretrained: Callable[..., Any], part: str, source: str, subfolder: str) -> Any:
    """Load a part without weights. Raises ModelError if it is missing."""
    try:
        return from_pretrained(source, subfolder=subfolder)
    except LOADING_ERRORS as error:
        raise ModelError(
            f"no {part} can be loaded from {source}/{subfolder}; name a folder that save_pretrained wrote, or a hub "
            "repository that can be reached"
        ) from error


_SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "clip_sample": False,
    "steps_offset": 1,
}

_UNET: dict[Size, dict[str, Any]] = {
    "sd15": {"sample_size": 64, "cross_attention_dim": 768},  # The rest is diffusers' default.
    "tiny": {
        "sample_size": 16,
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
        "norm_num_groups": 8,
    },
}

_VAE: dict[Size, dict[str, Any]] = {
    "sd15": {
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "latent_channels": 4,
        "sample_size": 512,
        "scaling_factor": 0.18215,
    },
    "tiny": {
        "block_out_channels": (8, 16, 16, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 1,
        "latent_channels": 4,
        "norm_num_groups": 4,
        "sample_size": 128,
        "scaling_factor": 0.18215,
    },
}

_TEXT: dict[Size, dict[str, Any]] = {
    "sd15": {
        "vocab_size": 49408,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "hidden_act": "quick_gelu",
    },
    "tiny": {
        "vocab_size": 2048,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "hidden_act": "quick_gelu",
    },
}
