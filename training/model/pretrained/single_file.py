"""Load Stable Diffusion from one .safetensors or .ckpt file in the original (LDM) format."""

from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.single_file_utils import SingleFileComponentError
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

from training.model.errors import ModelError
from training.model.pretrained.loading import LOADING_ERRORS


def load_single_file(path: Path, config: str | None) -> dict[str, Any]:
    """Return U-Net, autoencoder, text model, tokenizer and scheduler of a file by their names in StableDiffusion.

    In float32 on the CPU; of two sets of U-Net weights, the averaged ones, from which the paper starts. `config` is a
    folder or hub repository in diffusers format, whose configs and tokenizer are used; None takes those that the hub
    has for this kind of file. Raises ModelError if a weight is missing.
    """
    # Imports image processors, which only this function needs.
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline

    options: dict[str, Any] = {"torch_dtype": torch.float32, **({} if config is None else {"config": config})}
    try:
        unet = UNet2DConditionModel.from_single_file(str(path), subfolder="unet", extract_ema=True, **options)
        vae = AutoencoderKL.from_single_file(str(path), subfolder="vae", **options)
        pipeline = StableDiffusionPipeline.from_single_file(
            str(path), unet=unet, vae=vae, safety_checker=None, feature_extractor=None, **options
        )
    except NotImplementedError as error:  # diffusers leaves a missing weight without data, and cannot convert it.
        raise ModelError(f"the file {path} is incomplete: a weight of its U-Net or autoencoder is missing") from error
    except (*LOADING_ERRORS, SingleFileComponentError) as error:
        raise ModelError(
            f"Stable Diffusion cannot be loaded from the file {path} ({str(error).splitlines()[0]}); name a checkpoint "
            "in the original format, and a single_file_config if the hub cannot be reached"
        ) from error
    text_encoder = pipeline.text_encoder
    if missing := [name for name, tensor in text_encoder.state_dict().items() if tensor.is_meta]:
        raise ModelError(f"the file {path} is incomplete: {missing[0]} of its text model is missing")
    scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    return {
        "unet": unet,
        "vae": vae,
        "text_encoder": text_encoder,
        "tokenizer": pipeline.tokenizer,
        "scheduler": scheduler,
    }
