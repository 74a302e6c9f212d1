"""The parts of Pix2Gif that are trained, and how they are joined: U-Net, motion embedding, warping module.

B samples, H x W latent pixels, 77 tokens, D the text model's width. z_t is the noisy latent of the target, E(c_I) the
latent of the source, z_W the warped one, c_T, c_M and c_L = c_T + c_M the embeddings of text, motion and both.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from training.model.config import ModelConfig, Variant
from training.model.errors import ModelError
from training.model.loading import load_weights
from training.model.motion import MotionEmbedding
from training.model.unet import widen_conv_in
from training.model.warp import WarpingModule

CONFIG_NAME = "pix2gif.json"
PIPELINE_CONFIG_NAME = "model_index.json"


class Prepared(NamedTuple):
    """What does not depend on the timestep: computed once a step in training, once a GIF in generation."""

    image_channels: Tensor
    """What is concatenated to z_t, [B, 4 or 8, H, W]."""

    context: Tensor
    """What the U-Net's cross-attention attends to, [B, 77, D]: c_L, or c_T without a motion embedding."""

    warped: Tensor | None
    """z_W, [B, 4, H, W]."""

    flow: Tensor | None
    """The flow behind z_W, [B, 2, H, W], in grid units."""


class Prediction(NamedTuple):
    """What one pass gives: the noise, and what the perceptual loss needs."""

    noise: Tensor
    """The predicted noise, [B, 4, H, W]."""

    warped: Tensor | None
    """z_W, [B, 4, H, W]; None in a variant without a warping module."""

    flow: Tensor | None
    """The flow behind z_W, [B, 2, H, W], in grid units."""


class Pix2Gif(nn.Module):
    """The trained parts, joined as the variant says (Pix2Gif, sections 3.3 and 4.3). Every parameter is trained."""

    def __init__(
        self,
        unet: UNet2DConditionModel,
        motion_embedding: MotionEmbedding | None,
        warping: WarpingModule | None,
        variant: Variant,
    ) -> None:
        """Join parts. Raises ModelError where they are not those of the variant."""
        super().__init__()
        self.unet = unet
        self.motion_embedding = motion_embedding
        self.warping = warping
        self.config = _read_config(unet, motion_embedding, warping, variant)

    @classmethod
    def create(cls, unet: UNet2DConditionModel, config: ModelConfig) -> Self:
        """Make a model at step 0 from Stable Diffusion's U-Net, which is widened in place."""
        width = unet.config["cross_attention_dim"]
        motion_embedding = warping = None
        with torch.device(unet.device):
            if config.has_motion_embedding:
                motion_embedding = MotionEmbedding(config.num_motions, width, config.motion_init)
            if config.has_warp:
                warping = WarpingModule(condition_width=width, flow_mode=config.flow_mode, flow_norm=config.flow_norm)
        unet = widen_conv_in(unet, config.in_channels)
        return cls(unet.requires_grad_(True), motion_embedding, warping, config.variant)

    def prepare(self, source_latent: Tensor, text_embeds: Tensor, motion: Tensor) -> Prepared:
        """Turn conditions into what the U-Net takes beside z_t and t.

        source_latent: E(c_I), [B, 4, H, W], the posterior's mode, unscaled, zeros where the image is dropped.
        text_embeds: c_T, [B, 77, D]. motion: [B], pixels. c_L goes to cross-attention *and* to the warping module.
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
        """Predict the noise in z_t, [B, 4, H, W], at timesteps [B] or a single one."""
        sample = torch.cat([noisy, prepared.image_channels.to(noisy.dtype)], 1)
        noise: Tensor = self.unet(sample, timesteps, encoder_hidden_states=prepared.context, return_dict=False)[0]
        return noise

    def predict(
        self, noisy: Tensor, timesteps: Tensor, source_latent: Tensor, text_embeds: Tensor, motion: Tensor
    ) -> Prediction:
        """Predict the noise in z_t, [B, 4, H, W], under the conditions, which are described at `prepare`."""
        prepared = self.prepare(source_latent, text_embeds, motion)
        return Prediction(self.denoise(noisy, timesteps, prepared), prepared.warped, prepared.flow)

    def forward(
        self, noisy: Tensor, timesteps: Tensor, source_latent: Tensor, text_embeds: Tensor, motion: Tensor
    ) -> Prediction:
        """Do as `predict`, through the hooks of DistributedDataParallel and accelerate."""
        return self.predict(noisy, timesteps, source_latent, text_embeds, motion)

    def trained_parameters(self) -> list[nn.Parameter]:
        """List what an optimizer and an EMA are to cover: every parameter, in a stable order."""
        return list(self.parameters())

    def enable_gradient_checkpointing(self) -> None:
        """Recompute the U-Net's activations in the backward pass; the other parts are small."""
        self.unet.enable_gradient_checkpointing()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write every part as safetensors with its config into folders of its own, named as in a pipeline's folder."""
        folder = Path(folder)
        for name, part in (
            ("unet", self.unet),
            ("motion_embedding", self.motion_embedding),
            ("warping", self.warping),
        ):
            if part is not None:
                part.save_pretrained(folder / name)
        text = json.dumps({"model_variant": self.config.variant}, indent=2)
        (folder / CONFIG_NAME).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load a model from a folder that `save_pretrained` wrote, this class's or the pipeline's.

        From the hub, load the pipeline and take its `model`. Raises ModelError where no model lies.
        """
        folder = Path(folder)
        variant = read_variant(folder)
        motion_embedding = warping = None
        unet = load_weights(UNet2DConditionModel.from_pretrained, "U-Net", folder / "unet")
        # What lies there is loaded, whatever the variant: that the two do not fit is told of both.
        if (place := folder / "motion_embedding").is_dir():
            motion_embedding = load_weights(MotionEmbedding.from_pretrained, "motion embedding", place)
        if (place := folder / "warping").is_dir():
            warping = load_weights(WarpingModule.from_pretrained, "warping module", place)
        return cls(unet, motion_embedding, warping, variant)


def read_variant(folder: Path) -> Variant:
    """Read which variant a saved model or pipeline is. Raises ModelError where neither lies."""
    for name in (CONFIG_NAME, PIPELINE_CONFIG_NAME):
        path = folder / name
        if path.is_file():
            try:
                return ModelConfig(variant=json.loads(path.read_text(encoding="utf-8"))["model_variant"]).variant
            except (KeyError, TypeError, ValueError) as error:
                raise ModelError(f"{path} does not say which variant of Pix2Gif lies there") from error
    raise ModelError(f"no Pix2Gif model lies in {folder}")


def _read_config(
    unet: UNet2DConditionModel,
    motion_embedding: MotionEmbedding | None,
    warping: WarpingModule | None,
    variant: Variant,
) -> ModelConfig:
    """Read a model's config off its parts, and check that they are those of the variant."""
    parts: dict[str, Any] = {}
    if motion_embedding is not None:
        parts |= {"num_motions": motion_embedding.config["num_motions"], "motion_init": motion_embedding.config["init"]}
    if warping is not None:
        parts |= {"flow_mode": warping.config["flow_mode"], "flow_norm": warping.config["flow_norm"]}
    config = ModelConfig(variant=variant, **parts)
    for name, part, wanted in (
        ("motion embedding", motion_embedding, config.has_motion_embedding),
        ("warping module", warping, config.has_warp),
    ):
        if (part is not None) != wanted:
            has, here = ("a", "there is none") if wanted else ("no", "there is one")
            raise ModelError(f"the variant {variant} has {has} {name}, but {here} here")
    in_channels = unet.config["in_channels"]
    if in_channels != config.in_channels:
        raise ModelError(
            f"the variant {variant} needs a U-Net of {config.in_channels} input channels, but this has {in_channels}"
        )
    return config
