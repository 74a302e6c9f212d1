"""LoRA for the U-Net (Hu et al., 2022), beside full training of the other parts."""

import copy
from pathlib import Path

from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from peft import LoraConfig, get_peft_model_state_dict

from training.model.pipeline import Pix2GifPipeline
from training.model.pix2gif import Pix2Gif

TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")
"""Layers of the U-Net's transformer blocks that get adapters."""


def add_lora(model: Pix2Gif, rank: int) -> None:
    """Freeze the U-Net except its first convolution and add adapters of `rank` to its transformer blocks, in place.

    The first convolution is trained, because its channels for the source and the warped source start at zero. The
    second matrix of each adapter is zero, so the model's output does not change.
    """
    unet = model.unet
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=list(TARGETS)))
    unet.conv_in.requires_grad_(True)


def save_lora(unet: UNet2DConditionModel, folder: Path) -> None:
    """Save the adapters of a U-Net as FOLDER/pytorch_lora_weights.safetensors, for `load_lora_weights` of diffusers."""
    Pix2GifPipeline.save_lora_weights(folder, unet_lora_layers=get_peft_model_state_dict(unet))


def merge_lora(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """Return a copy of a U-Net with the adapters added to its weights, which needs no peft."""
    merged: UNet2DConditionModel = copy.deepcopy(unet)
    merged.fuse_lora()
    merged.unload_lora()
    return merged
