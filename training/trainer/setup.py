"""Config -> the parts of a run: checkpoint, models, data config, optimizer, kernels, advice on memory."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from training.checkpoint.checkpoint import Checkpoint, load_checkpoint, resolve_resume
from training.data import BatchStream, DataConfig
from training.model.config import TrainedOn
from training.model.factory import Components, build_from_stable_diffusion, build_random
from training.model.perceptual import PerceptualLoss
from training.runtime.guards import check_same_run, explain_out_of_memory
from training.trainer.config import TrainingConfig

FIXED_FIELDS = ("model", "random_size", "global_batch", "seed", "flip")
"""Fields of the config that a resumed run cannot change: they decide the model or the order of the data."""


def build_parts(config: TrainingConfig) -> Components:
    """Build the model and the frozen parts, pretrained or random. Raises ModelError if weights are missing."""
    if config.pretrained is not None:
        return build_from_stable_diffusion(config.pretrained, config.model, vae=config.autoencoder)
    return build_random(config.model, size=config.random_size, seed=config.seed)


def load_perceptual(config: TrainingConfig) -> PerceptualLoss | None:
    """Load VGG19 for variants with the perceptual loss. Raises ModelError if its weights are missing."""
    if not config.model.has_perceptual_loss:
        return None
    if config.perceptual_weights is None:
        return PerceptualLoss.random(config.seed)
    return PerceptualLoss.from_weights(config.perceptual_weights)


def make_data_config(config: TrainingConfig, location: str) -> DataConfig:
    """Return the data loader's config. Raises DataError if it is invalid."""
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


def describe_data(stream: BatchStream) -> TrainedOn:
    """Return the motion and the size of the pictures of a data set; the paper's motion if its manifest has none."""
    height, width = stream.resolution
    low, high = stream.data.motion_range or (TrainedOn.min_motion, TrainedOn.max_motion)
    return TrainedOn(min_motion=low, max_motion=high, width=width, height=height)


def make_optimizer(config: TrainingConfig, parameters: Sequence[nn.Parameter]) -> tuple[AdamW, LambdaLR]:
    """Return AdamW and its schedule: linear warm-up, then constant."""
    optimizer = AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    return optimizer, LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / max(1, config.warmup_steps)))


def find_checkpoint(accelerator: Accelerator, config: TrainingConfig, folder: Path, resume: str) -> Checkpoint | None:
    """Load the checkpoint to resume from on every process, or return None to start at step 0.

    Raises TrainingError if there is no complete checkpoint where one is required, or it is of a different run.
    """
    paths: list[Path | None] = [None]
    if accelerator.is_main_process:  # It verifies every byte; the others only learn the path.
        paths[0], damaged = resolve_resume(folder, resume)
        for error in damaged:
            accelerator.print(f"skipped: {error}")
    path = broadcast_object_list(paths)[0]
    if path is None:
        return None
    checkpoint = load_checkpoint(path)
    check_same_run(checkpoint.config, config, FIXED_FIELDS, path)
    accelerator.print(f"resumed from {path}, step {checkpoint.state.step}")
    return checkpoint


def tune_kernels(config: TrainingConfig) -> None:
    """Let cuDNN benchmark its kernels, as all steps have the same shapes, and allow TF32 unless precision is `no`."""
    if torch.cuda.is_available():
        torch.backends.cudnn.benchmark = True
        if config.precision != "no":
            torch.set_float32_matmul_precision("high")


def advise_on_memory(config: TrainingConfig) -> AbstractContextManager[None]:
    """Turn the device's out-of-memory error into TrainingError that names the options that save memory."""
    options = {
        "--gradient-checkpointing": not config.gradient_checkpointing,
        "--precision bf16": config.precision == "no",
        f"--micro-batch {config.micro_batch // 2}": config.micro_batch > 1,
    }
    return explain_out_of_memory(f"a micro-batch of {config.micro_batch}", options)
