"""Config -> the parts of a run: checkpoint, models, data config, optimizer, kernels, advice on memory."""

import copy
import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import nn
from torch.optim import AdamW, Optimizer

from training.checkpoint.checkpoint import Checkpoint, load_checkpoint, resolve_resume
from training.checkpoint.resume import list_changes
from training.data import BatchStream, DataConfig
from training.data.latent_format import LatentManifest
from training.data.open_data import OpenData
from training.errors import TrainingError
from training.model.config import TrainedOn
from training.model.factory import Components, build_from_stable_diffusion, build_random, fingerprint_frozen_parts
from training.model.lora import add_lora
from training.model.noise_schedule import adapt_schedule
from training.model.perceptual import PerceptualLoss
from training.model.saved.card import Origin
from training.runtime.devices import DTYPES
from training.runtime.guards import explain_out_of_memory
from training.runtime.weights import hash_weights
from training.trainer.config import TrainingConfig

FIXED_FIELDS = (
    *("model", "random_size", "global_batch", "seed", "flip", "resolution", "window_shards", "channels_last"),
    *("perceptual_weight", "perceptual_features", "perceptual_reference"),
    *("prediction", "zero_terminal_snr", "optimizer", "lora_rank"),
)
"""Fields of the config that a resumed run cannot change.

They decide the model, the loss or the order of the data; `channels_last` and `optimizer` the form of AdamW's moments.
"""


def build_parts(config: TrainingConfig) -> Components:
    """Build the model and the frozen parts, pretrained or random. Raises ModelError if weights are missing."""
    if config.pretrained is not None:
        parts = build_from_stable_diffusion(
            config.pretrained, config.model, vae=config.autoencoder, single_file_config=config.single_file_config
        )
    else:
        parts = build_random(config.model, size=config.random_size, seed=config.seed)
    if config.lora_rank is not None:
        add_lora(parts.model, config.lora_rank)
    scheduler = adapt_schedule(parts.scheduler, config.prediction, zero_terminal_snr=config.zero_terminal_snr)
    return dataclasses.replace(parts, scheduler=scheduler)


def load_perceptual(config: TrainingConfig, note: Callable[[str], None]) -> PerceptualLoss | None:
    """Load VGG19 for variants with the perceptual loss. Raises ModelError if its weights are missing.

    Notes random weights beside a pretrained model, whose result they would spoil.
    """
    if not config.model.has_perceptual_loss:
        return None
    if config.perceptual_weights is None:
        if config.pretrained is not None:
            note("the VGG19 of the perceptual loss has random weights; name trained ones with --perceptual-weights")
        return PerceptualLoss.random(config.seed, config.perceptual_features)
    return PerceptualLoss.from_weights(config.perceptual_weights, config.perceptual_features)


def fingerprint_parts(parts: Components, perceptual: PerceptualLoss | None) -> dict[str, str]:
    """Return the SHA-256 of each frozen part, as it was loaded, by its name in messages."""
    fingerprints = fingerprint_frozen_parts(parts)
    if perceptual is not None:
        fingerprints["VGG19 of the perceptual loss"] = hash_weights(perceptual)
    return fingerprints


def check_latents(data: OpenData, fingerprints: Mapping[str, str], location: str) -> None:
    """Raise TrainingError if a latent cache was made with another autoencoder or tokenizer than the run's."""
    if not isinstance(data.manifest, LatentManifest):
        return
    if data.manifest.tokenizer_sha256 is None:
        raise TrainingError(
            f"{location} is of an earlier version, which did not record its tokenizer; run `pix2gif encode` again with "
            "another --out"
        )
    if data.manifest.vae_sha256 != fingerprints["autoencoder"]:
        raise TrainingError(
            f"{location} was encoded with another autoencoder, {data.manifest.vae}; name it with --autoencoder, or run "
            "`pix2gif encode` with this run's"
        )
    if data.manifest.tokenizer_sha256 != fingerprints["tokenizer"]:
        raise TrainingError(
            f"{location} was made with another tokenizer; name its model with --pretrained, or run `pix2gif encode` "
            "with this run's"
        )


def place_frozen_parts(parts: Components, config: TrainingConfig, device: torch.device) -> Components:
    """Return the parts with autoencoder and text encoder on the device, in the precision of the run.

    They are copies where the precision is less than float32, so that `parts` can be saved as they were loaded.
    """
    dtype = DTYPES[config.precision]
    placed = parts
    if dtype != torch.float32:
        placed = dataclasses.replace(
            parts, vae=copy.deepcopy(parts.vae), text_encoder=copy.deepcopy(parts.text_encoder)
        )
    frozen: tuple[nn.Module, ...] = (placed.vae, placed.text_encoder)
    for part in frozen:
        part.to(device, dtype).requires_grad_(False).eval()
    if config.channels_last:  # The layout of the pictures; otherwise each convolution converts its weights.
        placed.vae.to(memory_format=torch.channels_last)  # type: ignore[call-arg]  # Wrapped by diffusers.
    return placed


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


def describe_origin(config: TrainingConfig, step: int) -> Origin:
    """Return what the model card says about the weights of a run."""
    return Origin(
        base=config.pretrained, autoencoder=config.autoencoder, num_steps=step, config=dataclasses.asdict(config)
    )


def make_optimizer(config: TrainingConfig, parameters: Sequence[nn.Parameter]) -> Optimizer:
    """Return AdamW. Raises TrainingError if it needs bitsandbytes, which is missing."""
    options: dict[str, Any] = {
        "lr": config.learning_rate,
        "betas": (config.adam_beta1, config.adam_beta2),
        "weight_decay": config.weight_decay,
    }
    if config.optimizer == "adamw":
        return AdamW(parameters, fused=True, **options)
    try:
        bitsandbytes = importlib.import_module("bitsandbytes")
    except ImportError as error:
        raise TrainingError(
            "the optimizer adamw-8bit needs bitsandbytes; install it with pip install 'pix2gif[adamw-8bit]'"
        ) from error
    optimizer: Optimizer = bitsandbytes.optim.AdamW8bit(parameters, **options)
    return optimizer


def find_checkpoint(
    accelerator: Accelerator, wait: Callable[[], None], config: TrainingConfig, folder: Path, resume: str
) -> Checkpoint | None:
    """Load the checkpoint to resume from on every process, or return None to start at step 0.

    Prints what changed in the config. Raises TrainingError if there is no complete checkpoint where one is required, or
    a field changed that cannot.
    """
    paths: list[Path | None] = [None]
    if accelerator.is_main_process:  # It verifies every byte; the others only learn the path.
        paths[0], damaged = resolve_resume(folder, resume)
        for error in damaged:
            accelerator.print(f"skipped: {error}")
    wait()
    path = broadcast_object_list(paths)[0]
    if path is None:
        return None
    checkpoint = load_checkpoint(path)
    changes = list_changes(checkpoint.config, config, FIXED_FIELDS, path)
    accelerator.print(f"resumed from {path}, step {checkpoint.state.step}")
    for change in changes:
        accelerator.print(f"changed since then: {change}")
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
