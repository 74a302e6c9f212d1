"""Inflate a text-to-image U-Net into one that denoises clips, with attention over frames (GIF-Tune, Method).

B clips of F frames, latents of c x h x w, text embeddings of 77 x D. Convolutions and norms process each frame alone,
like inflated 1 x 3 x 3 kernels.
"""

from typing import Any

from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from training.giftune.attention import SpatioTemporalProcessor, TemporalAttention
from training.model.errors import ModelError

_TRAINED = (".block.attn1.to_q.", ".block.attn2.to_q.", ".temporal.")


class InflatedBlock(nn.Module):
    """A transformer block of the image model, followed by temporal attention."""

    def __init__(self, block: BasicTransformerBlock, num_frames: int) -> None:
        """Wrap a block, in place: its self-attention now attends to frames 1 and i-1."""
        super().__init__()
        block.attn1.set_processor(SpatioTemporalProcessor(num_frames))  # type: ignore[arg-type]
        self.block = block
        num_heads, dim = int(block.attn1.heads), int(block.attn1.inner_dim)
        self.temporal = TemporalAttention(int(block.dim), num_heads, dim // num_heads, num_frames)

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Run the block and the temporal attention: [B F, N, C] -> [B F, N, C]."""
        hidden: Tensor = self.temporal(self.block(hidden_states, *args, **kwargs))
        return hidden


class InflatedUNet(nn.Module):
    """A U-Net for clips of a fixed number of frames."""

    def __init__(self, unet: UNet2DConditionModel, num_frames: int) -> None:
        """Inflate `unet`, in place. Raises ModelError for U-Nets other than those of Stable Diffusion 1.x and 2.x."""
        super().__init__()
        blocks = [(name, part) for name, part in unet.named_modules() if isinstance(part, BasicTransformerBlock)]
        _check_family(unet, [block for _, block in blocks])
        for name, block in blocks:
            parent, _, child = name.rpartition(".")
            setattr(unet.get_submodule(parent), child, InflatedBlock(block, num_frames))
        self.unet = unet
        self.num_frames = num_frames
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(any(part in name for part in _TRAINED))

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """Return the trained parameters by name: both query matrices and the temporal attention (GIF-Tune, Method)."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def forward(self, latents: Tensor, timesteps: Tensor, text_embeds: Tensor) -> Tensor:
        """Predict noise (or velocity): latents [B, F, c, h, w], timesteps [B], text [B, 77, D] -> [B, F, c, h, w]."""
        predicted: Tensor = self.unet(
            latents.flatten(0, 1),
            timesteps.repeat_interleave(self.num_frames),
            text_embeds.repeat_interleave(self.num_frames, dim=0),
        ).sample
        return predicted.reshape(latents.shape)


def _check_family(unet: UNet2DConditionModel, blocks: list[BasicTransformerBlock]) -> None:
    if not blocks:
        raise ModelError("the U-Net has no transformer block for text; use one of Stable Diffusion")
    if unet.config["addition_embed_type"] or unet.config["class_embed_type"]:
        raise ModelError("the U-Net needs more conditions than text, like SDXL; use a Stable Diffusion 1.x or 2.x")
    if unet.config["in_channels"] != unet.config["out_channels"]:
        raise ModelError(
            f"the U-Net has {unet.config['in_channels']} input and {unet.config['out_channels']} output channels, like "
            "models for inpainting or editing; use a text-to-image model"
        )
    if any(block.only_cross_attention or block.double_self_attention or block.attn2 is None for block in blocks):
        raise ModelError("the U-Net has blocks without self- and cross-attention; use one of Stable Diffusion")
