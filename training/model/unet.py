"""Widen Stable Diffusion's U-Net: 4 input channels for the noisy latent and 4 for each latent concatenated to it."""

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn

from training.model.errors import ModelError


def widen_conv_in(unet: UNet2DConditionModel, in_channels: int) -> UNet2DConditionModel:
    """Add input channels to a U-Net's first convolution, in place, and update its config.

    The new weights are zero, so the initial output does not depend on the new channels. The old weights and the bias
    are kept (diffusers' InstructPix2Pix script loses the bias, diffusers#4960). InstructPix2Pix has 8 channels already,
    for the noisy latent and the source's, in our order. Works on the meta device.
    Raises ModelError if `in_channels` is smaller than the current number.
    """
    conv = unet.conv_in
    if in_channels < conv.in_channels:
        raise ModelError(f"the U-Net has {conv.in_channels} input channels and cannot be narrowed to {in_channels}")
    if in_channels == conv.in_channels:
        return unet
    old = conv.weight
    zeros = old.new_zeros(old.shape[0], in_channels - conv.in_channels, *old.shape[2:])
    conv.weight = nn.Parameter(torch.cat([old.detach(), zeros], 1), requires_grad=old.requires_grad)
    conv.in_channels = in_channels
    unet.register_to_config(in_channels=in_channels)
    return unet
