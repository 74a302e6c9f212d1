"""Config -> the parts of a run, and what must hold before anything costly begins."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from training.data import DataConfig
from training.model.factory import Components, build_from_stable_diffusion, build_random
from training.model.perceptual import PerceptualLoss
from training.runtime.guards import explain_out_of_memory
from training.trainer.config import TrainingConfig

if TYPE_CHECKING:
    pass


def build_parts(config: TrainingConfig) -> Components:
    """Load or make the model and the frozen parts around it. Raises ModelError where there are no weights."""
    if config.pretrained is not None:
        return build_from_stable_diffusion(config.pretrained, config.model, vae=config.autoencoder)
    return build_random(config.model, size=config.random_size, seed=config.seed)


def load_perceptual(config: TrainingConfig) -> PerceptualLoss | None:
    """Load VGG19 for the variants whose loss needs it; random weights only where the config says so."""
    if not config.model.has_perceptual_loss:
        return None
    if config.perceptual_weights is None:
        return PerceptualLoss.random(config.seed)
    return PerceptualLoss.from_weights(config.perceptual_weights)


def make_data_config(config: TrainingConfig, location: str) -> DataConfig:
    """Say what the run reads. Raises DataError where that cannot be."""
    return DataConfig(
        location=location,
        seed=config.seed,
        global_batch=config.global_batch,
        micro_batch=config.micro_batch,
        num_workers=config.num_workers,
        resolution=config.resolution,
        flip=config.flip,
        cache=Path(config.cache) if config.cache else None,
        window_shards=config.window_shards,
        on_damage=config.on_damage,
        pin_memory=torch.cuda.is_available(),
    )


def choose_kernels(config: TrainingConfig) -> None:
    """Let a GPU try which kernels are fastest, as the shapes of all steps are alike; a CPU is left alone.

    Where products are in half precision, those that are left in float32 may be rounded to TF32.
    """
    if torch.cuda.is_available():
        torch.backends.cudnn.benchmark = True
        if config.precision != "no":
            torch.set_float32_matmul_precision("high")


@contextlib.contextmanager
def sentence_for_out_of_memory(config: TrainingConfig) -> Iterator[None]:
    """Turn out-of-memory of the device into a sentence that says what to turn on."""
    hints = {
        "--gradient-checkpointing": not config.gradient_checkpointing,
        "--precision bf16": config.precision == "no",
        f"--micro-batch {config.micro_batch // 2}": config.micro_batch > 1,
    }
    with explain_out_of_memory(f"a micro-batch of {config.micro_batch}", hints):
        yield
