"""A batch -> its losses: encode with the frozen parts, add noise, drop conditions, predict, compare.

Dimensions: B samples, 4 x h x w latents, 77 tokens of width D.
"""

import dataclasses

import torch
from torch import Tensor, nn

from training.data.batch import Batch, LatentBatch
from training.model.factory import Components
from training.model.latents import Moments, encode_moments, encode_source, sample_target
from training.model.losses import DropRates, diffusion_loss, drop_conditions, snr_weights, total_loss
from training.model.perceptual import PerceptualLoss
from training.model.text import encode_null_text, encode_text, make_prompt, tokenize
from training.runtime.sample_noise import SampleNoise, draw_noise
from training.trainer.config import TrainingConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Losses:
    """Losses of B samples, [B] each."""

    total: Tensor
    noise: Tensor
    perceptual: Tensor | None
    """None for variants without it."""

    def by_name(self) -> dict[str, Tensor]:
        """Return the losses under their names in the metrics."""
        named = {"loss": self.total, "noise_loss": self.noise, "perceptual_loss": self.perceptual}
        return {name: value for name, value in named.items() if value is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepInputs:
    """A batch on the device, with its token ids and random numbers."""

    batch: Batch | LatentBatch
    positions: tuple[int, ...]
    """B positions in the data order, on the host."""
    token_ids: Tensor
    """int64 [B, 77]."""
    noise: SampleNoise

    def __len__(self) -> int:
        return len(self.batch)


class LossStep:
    """Computes losses with the frozen parts."""

    def __init__(
        self, config: TrainingConfig, parts: Components, perceptual: PerceptualLoss | None, device: torch.device
    ) -> None:
        """Take the parts of `place_frozen_parts`, and move the perceptual loss to `device`."""
        self._config = config
        self._device = device
        if config.channels_last and perceptual is not None:
            perceptual.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # Not in torch's stubs.
        self._vae, self._text_encoder = parts.vae, parts.text_encoder
        self._motion_embedding = parts.model.motion_embedding
        self._tokenizer = parts.tokenizer
        self._scheduler = parts.scheduler
        self._perceptual = perceptual.to(device) if perceptual is not None else None
        self._null_embeds = encode_null_text(parts.tokenizer, self._text_encoder)

    def prepare(self, batch: Batch | LatentBatch) -> StepInputs:
        """Check, tokenize and draw noise on the host, and start the copies to the device without waiting."""
        if self._motion_embedding is not None:
            self._motion_embedding.check(batch.motion_px)  # On the host; on the device it would wait for the result.
        positions = tuple(batch.positions.tolist())
        num_timesteps = int(self._scheduler.config["num_train_timesteps"])
        noise = draw_noise(positions, self._config.seed, self._latent_shape(batch), num_timesteps)
        token_ids = batch.token_ids if isinstance(batch, LatentBatch) else self._tokenize(batch)
        if self._device.type == "cuda":  # Copies are asynchronous from pinned memory only.
            noise, token_ids = noise.pin_memory(), token_ids.pin_memory()
        return StepInputs(
            batch=batch.to(self._device),
            positions=positions,
            token_ids=token_ids.to(self._device, non_blocking=True),
            noise=noise.to(self._device),
        )

    def __call__(self, model: nn.Module, inputs: StepInputs) -> Losses:
        """Compute the losses of a batch, with gradients for the parameters of `model`. Does not wait for the device."""
        batch, noise = inputs.batch, inputs.noise
        source, target = self._read_latents(batch) if isinstance(batch, LatentBatch) else self._encode_pictures(batch)
        z_0 = sample_target(target, noise.posterior, self._vae.config["scaling_factor"]).float()
        noisy = self._scheduler.add_noise(z_0, noise.noise, noise.timesteps)  # type: ignore[arg-type]
        conditions = drop_conditions(
            noise.condition,
            encode_text(self._text_encoder, inputs.token_ids).float(),
            self._null_embeds,
            source.float(),
            DropRates(self._config.drop_text, self._config.drop_both, self._config.drop_image),
        )
        prediction = model(
            noisy, noise.timesteps, conditions.source_latent, conditions.text_embeds, batch.motion_px
        )  # fmt: skip
        noise_loss = diffusion_loss(prediction.noise, noise.noise)
        perceptual_loss = None
        if self._perceptual is not None:
            # Compared with the source as the warping module saw it, dropped or not.
            perceptual_loss = self._perceptual(prediction.warped.float(), conditions.source_latent)
        weights = None
        if self._config.snr_gamma is not None:
            weights = snr_weights(self._scheduler, noise.timesteps, self._config.snr_gamma)
        total = total_loss(noise_loss, perceptual_loss, weights, self._config.perceptual_weight)
        return Losses(total=total, noise=noise_loss, perceptual=perceptual_loss)

    def _latent_shape(self, batch: Batch | LatentBatch) -> tuple[int, int, int]:
        """Return (C, h, w) before encoding: each level of the autoencoder but the last halves the sides."""
        if isinstance(batch, LatentBatch):
            channels, height, width = batch.source_mode.shape[1:]
            return channels, height, width
        halvings = len(self._vae.config["block_out_channels"]) - 1
        height, width = batch.source.shape[2:]
        return int(self._vae.config["latent_channels"]), height >> halvings, width >> halvings

    def _tokenize(self, batch: Batch) -> Tensor:
        prompts = [
            make_prompt(caption, motion_px)
            for caption, motion_px in zip(batch.captions, batch.motion_px.tolist(), strict=True)
        ]
        return tokenize(self._tokenizer, prompts)

    def _encode_pictures(self, batch: Batch) -> tuple[Tensor, Moments]:
        source, target = batch.as_floats()
        return encode_source(self._vae, source), encode_moments(self._vae, target)

    def _read_latents(self, batch: LatentBatch) -> tuple[Tensor, Moments]:
        source, mean, logvar = (part.float() for part in (batch.source_mode, batch.target_mean, batch.target_logvar))
        return source, Moments(mean, logvar)
