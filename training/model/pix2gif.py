"""The trained part of Pix2Gif: U-Net, motion embedding and warping module (Pix2Gif, section 3.3).

B samples, H x W latent pixels, 77 tokens, D: width of the text model. z_t: noisy target latent; E(c_I): source latent;
z_W: warped source latent; c_T and c_M: embeddings of text and motion; c_L = c_T + c_M.
"""

from typing import Any, NamedTuple, Self

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from training.model.config import ModelConfig, Variant
from training.model.errors import ModelError
from training.model.motion import MotionEmbedding
from training.model.unet import widen_conv_in
from training.model.warp import WarpingModule


class Prepared(NamedTuple):
    """Inputs of the U-Net that do not depend on the timestep: computed once per training step, or once per GIF."""

    image_channels: Tensor
    """Channels concatenated to z_t, [B, 4 or 8, H, W]."""

    context: Tensor
    """Context of the U-Net's cross-attention, [B, 77, D]: c_L, or c_T without a motion embedding."""

    warped: Tensor | None
    """z_W, [B, 4, H, W]; None without a warping module."""

    flow: Tensor | None
    """Flow of z_W, [B, 2, H, W], in grid units; None without a warping module."""


class Prediction(NamedTuple):
    """Output of a forward pass: the noise, and the inputs of the perceptual loss."""

    noise: Tensor
    """Predicted noise, [B, 4, H, W]."""

    warped: Tensor | None
    """z_W, [B, 4, H, W]; None without a warping module."""

    flow: Tensor | None
    """Flow of z_W, [B, 2, H, W], in grid units; None without a warping module."""


class Pix2Gif(nn.Module):
    """The trained parts, combined according to the variant (Pix2Gif, sections 3.3 and 4.3). Trains every parameter."""

    def __init__(
        self,
        unet: UNet2DConditionModel,
        motion_embedding: MotionEmbedding | None,
        warping: WarpingModule | None,
        variant: Variant,
    ) -> None:
        """Combine the parts. Raises ModelError if they are not those of the variant."""
        super().__init__()
        self.unet = unet
        self.motion_embedding = motion_embedding
        self.warping = warping
        self.config = _read_config(unet, motion_embedding, warping, variant)

    @classmethod
    def create(cls, unet: UNet2DConditionModel, config: ModelConfig) -> Self:
        """Make a model at step 0 from the U-Net of Stable Diffusion or InstructPix2Pix, which is widened in place.

        It predicts what the U-Net predicts, unless `absolute` flows warp the source.
        """
        width = unet.config["cross_attention_dim"]
        motion_embedding = warping = None
        with torch.device(unet.device):
            if config.has_motion_embedding:
                motion_embedding = MotionEmbedding(config.num_motions, width, config.motion_init)
            if config.has_warp:
                warping = WarpingModule(
                    condition_width=width,
                    flow_mode=config.flow_mode,
                    flow_norm=config.flow_norm,
                    warp_layers=config.warp_layers,
                )
        if config.variant == "warp-add":  # E(c_I) + z_W is twice the source at step 0.
            with torch.no_grad():
                unet.conv_in.weight[:, unet.config["out_channels"] :] /= 2
        unet = widen_conv_in(unet, config.in_channels)
        return cls(unet.requires_grad_(True), motion_embedding, warping, config.variant)

    def prepare(self, source_latent: Tensor, text_embeds: Tensor, motion: Tensor) -> Prepared:
        """Compute the U-Net's inputs except z_t and t (Pix2Gif, sections 3.3.1 and 3.3.2).

        source_latent: E(c_I), [B, 4, H, W], the mode of the posterior, unscaled; zeros where the image is dropped.
        text_embeds: c_T, [B, 77, D]. motion: [B], in pixels. Both cross-attention and the warping module receive c_L.
        """
        context = text_embeds
        if self.motion_embedding is not None:
            context = text_embeds + self.motion_embedding(motion).to(text_embeds.dtype)
        if self.warping is None:
            return Prepared(source_latent, context, None, None)
        warped, flow = self.warping(source_latent, context)
        if self.config.variant == "warp":
            channels = warped
        elif self.config.variant == "warp-add":
            channels = source_latent + warped
        else:
            channels = torch.cat([source_latent, warped], 1)
        return Prepared(channels, context, warped, flow)

    def denoise(self, noisy: Tensor, timesteps: Tensor, prepared: Prepared) -> Tensor:
        """Predict the noise in z_t, [B, 4, H, W], at timesteps [B] or at a single one."""
        sample = torch.cat([noisy, prepared.image_channels.to(noisy.dtype)], 1)
        noise: Tensor = self.unet(sample, timesteps, encoder_hidden_states=prepared.context, return_dict=False)[0]
        return noise

    def forward(
        self, noisy: Tensor, timesteps: Tensor, source_latent: Tensor, text_embeds: Tensor, motion: Tensor
    ) -> Prediction:
        """Predict the noise in z_t, [B, 4, H, W], under the conditions described at `prepare`."""
        prepared = self.prepare(source_latent, text_embeds, motion)
        return Prediction(self.denoise(noisy, timesteps, prepared), prepared.warped, prepared.flow)

    def trained_parameters(self) -> list[nn.Parameter]:
        """Return the parameters for the optimizer and the EMA, in a stable order: all that are not frozen."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def enable_gradient_checkpointing(self) -> None:
        """Recompute the U-Net's activations in the backward pass. The other parts are small."""
        self.unet.enable_gradient_checkpointing()


def _read_config(
    unet: UNet2DConditionModel,
    motion_embedding: MotionEmbedding | None,
    warping: WarpingModule | None,
    variant: Variant,
) -> ModelConfig:
    """Return the config of a model with these parts. Raises ModelError if they are not those of the variant."""
    parts: dict[str, Any] = {}
    if motion_embedding is not None:
        parts |= {"num_motions": motion_embedding.config["num_motions"], "motion_init": motion_embedding.config["init"]}
    if warping is not None:
        parts |= {name: warping.config[name] for name in ("flow_mode", "flow_norm", "warp_layers")}
    config = ModelConfig(variant=variant, **parts)
    for name, part, needed in (
        ("motion embedding", motion_embedding, config.has_motion_embedding),
        ("warping module", warping, config.has_warp),
    ):
        if (part is not None) != needed:
            has, found = ("a", "there is none") if needed else ("no", "there is one")
            raise ModelError(f"the variant {variant} has {has} {name}, but {found}")
    in_channels = unet.config["in_channels"]
    if in_channels != config.in_channels:
        raise ModelError(
            f"the variant {variant} needs a U-Net with {config.in_channels} input channels, not {in_channels}"
        )
    return config
