"""A batch -> its losses: encode what is frozen, draw, drop conditions, predict, compare.

Dimensions: B samples, 4 x h x w latents, 77 tokens of width D.
"""

import dataclasses

import torch
from torch import Tensor, nn

from training.config import TrainingConfig
from training.data.batch import Batch, LatentBatch
from training.draws import draw
from training.model.factory import Components
from training.model.latents import Moments, encode_moments, encode_source, sample_target
from training.model.losses import diffusion_loss, drop_conditions, snr_weights, total_loss
from training.model.perceptual import PerceptualLoss
from training.model.text import encode_null_text, encode_text, make_prompt, tokenize


@dataclasses.dataclass(frozen=True, kw_only=True)
class Losses:
    """The losses of some samples, [B] each."""

    total: Tensor
    noise: Tensor
    perceptual: Tensor | None
    """None for variants without it."""


class LossStep:
    """Computes losses. Holds the frozen parts, in the precision of the run."""

    def __init__(
        self,
        config: TrainingConfig,
        parts: Components,
        perceptual: PerceptualLoss | None,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._config = config
        self._device = device
        frozen: tuple[nn.Module, ...] = (parts.vae, parts.text_encoder)
        for part in frozen:
            part.to(device, dtype).requires_grad_(False).eval()
        self._vae, self._text_encoder = parts.vae, parts.text_encoder
        self._parts_model = parts.model
        self._tokenizer = parts.tokenizer
        self._scheduler = parts.scheduler
        self._perceptual = perceptual.to(device) if perceptual is not None else None
        self._null_embeds = encode_null_text(parts.tokenizer, self._text_encoder)

    def __call__(self, model: nn.Module, batch: Batch | LatentBatch) -> Losses:
        """Compute the losses of a batch; gradients reach what `model` trains."""
        if isinstance(batch, LatentBatch):
            source, target, token_ids = self._of_latents(batch)
        else:
            source, target, token_ids = self._of_pictures(batch)
        embedding = self._parts_model.motion_embedding
        if embedding is not None:
            embedding.check(batch.motion_px)  # Before it goes to the device, where asking would make every step wait.
        latent_shape = (source.shape[1], source.shape[2], source.shape[3])
        num_timesteps = int(self._scheduler.config["num_train_timesteps"])
        drawn = draw(batch.positions.tolist(), self._config.seed, latent_shape, num_timesteps).to(self._device)
        z_0 = sample_target(target, drawn.posterior, self._vae.config["scaling_factor"]).float()
        noisy = self._scheduler.add_noise(z_0, drawn.noise, drawn.timesteps)  # type: ignore[arg-type]
        conditions = drop_conditions(
            drawn.condition, encode_text(self._text_encoder, token_ids).float(), self._null_embeds, source.float()
        )
        prediction = model(
            noisy,
            drawn.timesteps,
            conditions.source_latent,
            conditions.text_embeds,
            batch.motion_px.to(self._device),
        )
        noise_loss = diffusion_loss(prediction.noise, drawn.noise)
        perceptual_loss = None
        if self._perceptual is not None:
            # Against the masked source, as it went into the warping module.
            perceptual_loss = self._perceptual(prediction.warped.float(), conditions.source_latent)
        weights = None
        if self._config.snr_gamma is not None:
            weights = snr_weights(self._scheduler, drawn.timesteps, self._config.snr_gamma)
        total = total_loss(noise_loss, perceptual_loss, weights, self._config.perceptual_weight)
        return Losses(total=total, noise=noise_loss, perceptual=perceptual_loss)

    def _of_pictures(self, batch: Batch) -> tuple[Tensor, Moments, Tensor]:
        source, target = batch.to(self._device).as_floats()
        prompts = [
            make_prompt(caption, motion)
            for caption, motion in zip(batch.captions, batch.motion_px.tolist(), strict=True)
        ]
        token_ids = tokenize(self._tokenizer, prompts)
        return encode_source(self._vae, source), encode_moments(self._vae, target), token_ids

    def _of_latents(self, batch: LatentBatch) -> tuple[Tensor, Moments, Tensor]:
        source, mean, logvar = (
            part.to(self._device, torch.float32) for part in (batch.source_mode, batch.target_mean, batch.target_logvar)
        )
        return source, Moments(mean, logvar), batch.token_ids
