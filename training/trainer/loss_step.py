"""A batch -> its losses: encode with the frozen parts, add noise, drop conditions, predict, compare.

Dimensions: B samples, 4 x h x w latents, 77 tokens of width D.
"""

import dataclasses

import torch
from torch import Tensor, nn

from training.data.batch import Batch, LatentBatch
from training.model.factory import Components
from training.model.latents import Moments, encode_moments, encode_source, sample_target
from training.model.losses import Conditions, DropRates, drop_conditions, mean_squared_error, snr_weights, total_loss
from training.model.noise_schedule import find_objective
from training.model.perceptual import PerceptualLoss
from training.model.pix2gif import Pix2Gif, Prediction, Prepared
from training.model.text.encoder import encode_null_text, encode_text, make_prompt, tokenize
from training.model.warp import Warped
from training.runtime.devices import DTYPES
from training.runtime.sample_noise import SampleNoise, draw_noise
from training.trainer.config import TrainingConfig
from training.trainer.flow_training import WarpMeasures


@dataclasses.dataclass(frozen=True, kw_only=True)
class Losses:
    """Losses of B samples, [B] each."""

    total: Tensor
    noise: Tensor | None = None
    """None in the flow warm-up."""
    perceptual: Tensor | None = None
    """None for variants without it, and in the flow warm-up."""
    flow: Tensor | None = None
    """Mean squared error of z_W to the target's latent, both scaled; None where it is not part of the total."""
    warp: WarpMeasures | None = None
    """None for variants without a warp."""

    def by_name(self) -> dict[str, Tensor]:
        """Return the losses under their names in the metrics, and the measures of the warp."""
        named = {
            "loss": self.total,
            "noise_loss": self.noise,
            "perceptual_loss": self.perceptual,
            "flow_loss": self.flow,
        }
        losses = {name: value for name, value in named.items() if value is not None}
        return losses if self.warp is None else {**losses, **self.warp.by_name()}


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
        self._flow_mode = parts.model.config.flow_mode
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

    def __call__(self, model: nn.Module, inputs: StepInputs, flow_weight: float = 0.0) -> Losses:
        """Compute the losses of a batch, with gradients for the parameters of `model`. Does not wait for the device.

        `flow_weight` is the weight of the flow loss in the total.
        """
        noise = inputs.noise
        target, conditions = self._read_conditions(inputs)
        z_0 = sample_target(target, noise.posterior, self._vae.config["scaling_factor"]).float()
        noisy = self._scheduler.add_noise(z_0, noise.noise, noise.timesteps)  # type: ignore[arg-type]
        prediction = model(
            noisy, noise.timesteps, conditions.source_latent, conditions.text_embeds, inputs.batch.motion_px
        )  # fmt: skip
        objective = find_objective(self._scheduler, z_0, noise.noise, noise.timesteps)
        noise_loss = mean_squared_error(prediction.noise, objective)
        perceptual_loss = None
        if self._perceptual is not None:
            perceptual_loss = self._perceptual(prediction.warped.float(), self._find_reference(target, conditions))
        weights = None
        if self._config.snr_gamma is not None:
            weights = snr_weights(self._scheduler, noise.timesteps, self._config.snr_gamma)
        total = total_loss(noise_loss, perceptual_loss, weights, self._config.perceptual_weight)
        warp, flow_loss = self._measure_warp(prediction, target, conditions), None
        if warp is not None and flow_weight:
            flow_loss = self._scale_error(warp)
            total = total + flow_weight * flow_loss
        return Losses(total=total, noise=noise_loss, perceptual=perceptual_loss, flow=flow_loss, warp=warp)

    def warm_up(self, model: Pix2Gif, inputs: StepInputs) -> Losses:
        """Compute the flow loss alone, without the U-Net, for a model with a warp. Does not wait for the device."""
        target, conditions = self._read_conditions(inputs)
        dtype = DTYPES[self._config.precision]
        with torch.autocast(self._device.type, dtype, enabled=dtype != torch.float32):
            prepared = model.prepare(conditions.source_latent, conditions.text_embeds, inputs.batch.motion_px)
        warp = self._measure_warp(prepared, target, conditions)
        if warp is None:
            raise ValueError("a model without a warp has no flow to warm up")
        flow_loss = self._scale_error(warp)
        return Losses(total=flow_loss, flow=flow_loss, warp=warp)

    def _read_conditions(self, inputs: StepInputs) -> tuple[Moments, Conditions]:
        """Return the target's moments, and the conditions after dropping."""
        batch = inputs.batch
        source, target = self._read_latents(batch) if isinstance(batch, LatentBatch) else self._encode_pictures(batch)
        text_embeds = encode_text(self._text_encoder, inputs.token_ids).float()
        rates = DropRates(self._config.drop_text, self._config.drop_both, self._config.drop_image)
        return target, drop_conditions(inputs.noise.condition, text_embeds, self._null_embeds, source.float(), rates)

    def _find_reference(self, target: Moments, conditions: Conditions) -> Tensor:
        """Return what z_W is compared with: the source as the warping module saw it, dropped or not, or the target.

        Where the image was dropped, z_W is zero whatever the flow, and so is either reference.
        """
        if self._config.perceptual_reference == "source":
            return conditions.source_latent
        return target.mean.float() * conditions.has_image[:, None, None, None]

    def _measure_warp(
        self, output: Prediction | Prepared, target: Moments, conditions: Conditions
    ) -> WarpMeasures | None:
        if output.warped is None or output.flow is None:
            return None
        return WarpMeasures.compute(
            Warped(output.warped, output.flow),
            self._flow_mode,
            conditions.source_latent,
            target.mean,
            conditions.has_image,
        )

    def _scale_error(self, warp: WarpMeasures) -> Tensor:
        """Return the error of z_W in the scale of z_0, whose variance is about 1 as that of the noise: [B]."""
        return warp.error * float(self._vae.config["scaling_factor"]) ** 2

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
