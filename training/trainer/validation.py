"""Validation: losses on fixed samples, noise and timesteps, which cover the noise schedule evenly, and GIFs."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor

from training.data import Batch, BatchStream, DataConfig, LatentBatch
from training.data.open_data import OpenData
from training.model.factory import Components
from training.model.pix2gif import Pix2Gif
from training.runtime.metrics import MetricsLog
from training.trainer.config import TrainingConfig
from training.trainer.ema import averaged_weights
from training.trainer.flow_training import pop_figures
from training.trainer.loss_step import LossStep
from training.trainer.preview import write_preview


def has_validation_split(data: OpenData) -> bool:
    """Return whether a data set or a latent cache has samples for validation."""
    split = data.manifest.splits.get("val")
    return split is not None and split.num_samples > 0


def read_validation_batch(config: TrainingConfig, location: str) -> Batch | LatentBatch:
    """Return `config.validation_samples` samples of the val split, or all if it has fewer, in an order of its own.

    Raises DataError for damaged data.
    """
    data_config = DataConfig(
        location=location,
        split="val",
        global_batch=1,
        micro_batch=1,
        num_workers=0,
        flip=False,
        resolution=config.resolution,
        cache=Path(config.cache) if config.cache else None,
        on_damage=config.on_damage,
    )
    count = min(config.validation_samples, BatchStream(data_config).num_samples)
    return next(iter(BatchStream(dataclasses.replace(data_config, global_batch=count, micro_batch=count))))


class Validation:
    """Measures losses on a fixed batch, without dropped conditions, and draws GIFs of fixed clips."""

    def __init__(
        self, config: TrainingConfig, location: str, parts: Components, loss_step: LossStep, folder: Path
    ) -> None:
        """Read the batch, for `parts` on the device and GIFs in `folder`. Raises DataError for damaged data."""
        self._config, self._location, self._parts, self._folder = config, location, parts, folder
        self._loss_step = loss_step
        self._batches: Sequence[Batch | LatentBatch] = []
        if config.validation_samples:
            self._batches = read_validation_batch(config, location).split(config.micro_batch)
        self._num_samples = sum(map(len, self._batches))
        num_timesteps = int(parts.scheduler.config["num_train_timesteps"])
        timesteps = (torch.arange(self._num_samples) + 0.5) * num_timesteps / max(1, self._num_samples)
        self._timesteps = timesteps.long().split(config.micro_batch)

    def run(self, step: int, ema: EMAModel, metrics: MetricsLog) -> dict[str, float]:
        """Validate the averaged weights and show the sheet of clips. Returns the losses by name."""
        sheet = self._folder / f"step-{step:08d}.png"
        with averaged_weights(self._parts.model, ema):
            losses = self.measure(self._parts.model)
            if self._config.validation_clips:
                write_preview(self._parts, self._location, self._config, sheet.with_suffix(".gif"))
        if sheet.exists():
            metrics.log_picture(step, "validation", sheet)
        return losses

    def measure(self, model: Pix2Gif) -> dict[str, float]:
        """Return the mean of each loss and the figures of the warp, under their names in the metrics after `val_`."""
        sums: dict[str, Tensor] = {}
        for batch, timesteps in zip(self._batches, self._timesteps, strict=True):
            inputs = self._loss_step.prepare(batch)
            noise = dataclasses.replace(
                inputs.noise,
                timesteps=timesteps.to(inputs.noise.timesteps.device),
                condition=torch.ones_like(inputs.noise.condition),
            )
            with torch.no_grad():
                losses = self._loss_step(model, dataclasses.replace(inputs, noise=noise))
            for name, value in losses.by_name().items():
                sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value.sum()
        means = {name: float(total) / self._num_samples for name, total in sums.items()}
        means |= pop_figures(means)
        return {f"val_{name}": value for name, value in means.items()}
