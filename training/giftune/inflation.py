"""A text-to-image U-Net -> one that denoises clips: its modules as they are, new attention over frames.

B clips of F frames, latents of c x h x w, text embeddings of 77 x D. Convolutions and norms see a frame at a time,
which is what a 1 x 3 x 3 kernel does.
"""

from typing import Any

from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from training.giftune.attention import SpatioTemporalProcessor, TemporalAttention
from training.model.errors import ModelError

_TRAINED = (".block.attn1.to_q.", ".block.attn2.to_q.", ".temporal.")


class InflatedBlock(nn.Module):
    """A transformer block of the image model, and temporal attention after it."""

    def __init__(self, block: BasicTransformerBlock, num_frames: int) -> None:
        """Take over a block; its self-attention now asks frames 1 and i-1."""
        super().__init__()
        block.attn1.set_processor(SpatioTemporalProcessor(num_frames))  # type: ignore[arg-type]
        self.block = block
        num_heads, dim = int(block.attn1.heads), int(block.attn1.inner_dim)
        self.temporal = TemporalAttention(int(block.dim), num_heads, dim // num_heads, num_frames)

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Take and give what the block did: [B F, N, C]."""
        hidden: Tensor = self.temporal(self.block(hidden_states, *args, **kwargs))
        return hidden


class InflatedUNet(nn.Module):
    """A U-Net for clips of a fixed number of frames."""

    def __init__(self, unet: UNet2DConditionModel, num_frames: int) -> None:
        """Inflate `unet`, in place. Raises ModelError where it is none of Stable Diffusion's family."""
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

    def trained(self) -> dict[str, nn.Parameter]:
        """Return what is trained, by name: both query matrices and the temporal attention (GIF-Tune, Method)."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def forward(self, latents: Tensor, timesteps: Tensor, text_embeds: Tensor) -> Tensor:
        """Predict noise (or velocity): latents [B, F, c, h, w], timesteps [B], text [B, 77, D] -> as the latents."""
        predicted: Tensor = self.unet(
            latents.flatten(0, 1),
            timesteps.repeat_interleave(self.num_frames),
            text_embeds.repeat_interleave(self.num_frames, dim=0),
        ).sample
        return predicted.reshape(latents.shape)


def _check_family(unet: UNet2DConditionModel, blocks: list[BasicTransformerBlock]) -> None:
    if not blocks:
        raise ModelError("the U-Net has no transformer block, so it hears no text: take one of Stable Diffusion's")
    if unet.config["addition_embed_type"] or unet.config["class_embed_type"]:
        raise ModelError("the U-Net wants more than a text (as SDXL does): take a Stable Diffusion 1.x or 2.x")
    if unet.config["in_channels"] != unet.config["out_channels"]:
        raise ModelError(
            f"the U-Net takes {unet.config['in_channels']} channels and gives {unet.config['out_channels']}, as one "
            "for inpainting or editing does: take a text-to-image model"
        )
    if any(block.only_cross_attention or block.double_self_attention or block.attn2 is None for block in blocks):
        raise ModelError("the U-Net's blocks do not pair self- with cross-attention: take one of Stable Diffusion's")
