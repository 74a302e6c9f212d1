"""What may be chosen in a training run, with defaults and units; presets are functions that return a config."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from training.model.config import ModelConfig
from training.runtime.config_fields import (
    Precision,
    RandomSize,
    check_field,
    make_preset,
    read_config_file,
    replace_fields,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Every parameter of a run. Checked on construction; the resolved one is written beside every output."""

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    """Which of the paper's variants, and how its parts are made."""
    pretrained: str | None = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    """Folder or hub name of a Stable Diffusion 1.x to begin from; None begins from random weights of `random_size`."""
    random_size: RandomSize = "tiny"
    """Size of a model of random weights: tiny for trying out, sd15 for measuring."""
    autoencoder: str | None = "stabilityai/sd-vae-ft-mse"
    """Folder or hub name of another autoencoder (Pix2Gif, section 4: ft-MSE); None keeps that of `pretrained`."""
    perceptual_weights: str | None = "timm/vgg19.tv_in1k"
    """Folder, file or hub name of VGG19's weights; None takes random ones, which serve for trying out only."""
    perceptual_weight: float = 0.01
    """Lambda_P, the weight of the perceptual loss (Pix2Gif, section 4)."""
    global_batch: int = 256
    """Samples of one optimizer step over all processes."""
    micro_batch: int = 16
    """Samples that one process takes at once; the rest of its share is accumulated."""
    max_steps: int = 25_000
    """Optimizer steps."""
    learning_rate: float = 1e-4
    """Of AdamW, after the warm-up."""
    warmup_steps: int = 10_000
    """Optimizer steps over which the learning rate grows linearly from 0; it is constant afterwards."""
    weight_decay: float = 0.01
    """Of AdamW."""
    max_grad_norm: float | None = 1.0
    """Gradients of a greater norm are scaled down to it; None leaves them."""
    ema_decay: float = 0.9999
    """Of the moving average of every trained part, updated once an optimizer step."""
    snr_gamma: float | None = None
    """Weight timesteps by min(SNR, gamma) / SNR (Hang et al., 2023); None weights them alike, as the paper."""
    resolution: int | None = 256
    """Side in pixels that the pictures must have, as motion is told in pixels of them; None takes what there is."""
    flip: bool = True
    """Mirror source and target together, half of the time."""
    precision: Precision = "bf16"
    """Of the matrix products; weights and optimizer stay in float32."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: about half the memory, a third more time."""
    compile: bool = False
    """Compile the U-Net and the autoencoder's encoder with torch.compile."""
    channels_last: bool = True
    """Lay images out channels last, which GPUs convolve faster."""
    num_workers: int = 4
    """Processes that read and decode for each rank; 0 reads in the training process."""
    cache: str | None = None
    """Folder that keeps shards fetched from http(s):// or s3://; without one they are read by ranges."""
    window_shards: int | None = None
    """Shards that are in use at a time, for remote shards; None mixes all of them."""
    on_damage: Literal["raise", "skip"] = "raise"
    """Whether a damaged sample ends the run, or is counted and another stands in for it."""
    wandb_project: str | None = None
    """Tell metrics to this project of Weights & Biases, too."""
    seed: int = 0
    """Of the order, the noise, every draw."""
    log_every: int = 10
    """Optimizer steps from one line of metrics to the next."""
    checkpoint_every: int = 1_000
    """Optimizer steps from one checkpoint to the next; one is written at the end in any case."""
    keep_checkpoints: int = 3
    """The latest so many are kept."""
    validate_every: int = 1_000
    """Optimizer steps from one set of validation GIFs to the next; 0 makes none."""
    validation_clips: int = 4
    """Fixed samples of the val split that validation GIFs are made of."""

    def __post_init__(self) -> None:
        """Raise TrainingError naming the field, its value and what is allowed."""
        for name in ("global_batch", "micro_batch", "max_steps", "log_every", "checkpoint_every", "keep_checkpoints"):
            check_field(self, name, getattr(self, name) >= 1, "1 or more")
        for name in ("warmup_steps", "num_workers", "validate_every", "validation_clips", "seed"):
            check_field(self, name, getattr(self, name) >= 0, "0 or more")
        for name in ("learning_rate",):
            check_field(self, name, getattr(self, name) > 0, "more than 0")
        check_field(self, "ema_decay", 0 <= self.ema_decay < 1, "from 0 to less than 1")
        check_field(self, "perceptual_weight", self.perceptual_weight >= 0, "0 or more")
        check_field(
            self, "max_grad_norm", self.max_grad_norm is None or self.max_grad_norm > 0, "more than 0, or left out"
        )
        check_field(self, "snr_gamma", self.snr_gamma is None or self.snr_gamma > 0, "more than 0, or left out")
        check_field(self, "precision", self.precision in get_args(Precision), "no, bf16 or fp16")


def paper() -> TrainingConfig:
    """Return the paper's run: Stable Diffusion 1.5, batch 256, 25,000 steps, float32, no clipping."""
    return TrainingConfig(precision="no", max_grad_norm=None, gradient_checkpointing=True, micro_batch=2)


def card24() -> TrainingConfig:
    """Return a run for one card of 24 GB: the paper's batch, accumulated from micro-batches of 8 in bf16."""
    return TrainingConfig(micro_batch=8, gradient_checkpointing=True)


def tiny() -> TrainingConfig:
    """Return a run of a small random model, in minutes on a laptop's CPU: for trying out, and for the tests."""
    return TrainingConfig(
        pretrained=None,
        random_size="tiny",
        resolution=None,
        autoencoder=None,
        perceptual_weights=None,
        global_batch=8,
        micro_batch=8,
        max_steps=100,
        learning_rate=1e-3,
        warmup_steps=10,
        ema_decay=0.99,
        precision="no",
        channels_last=False,
        num_workers=0,
        log_every=1,
        checkpoint_every=50,
        validate_every=50,
        validation_clips=2,
    )


PRESETS = {"paper": paper, "card24": card24, "tiny": tiny}
"""Presets by the name that `--preset` takes."""


def resolve_config(preset: str, path: Path | None, options: Mapping[str, Any]) -> TrainingConfig:
    """Return a preset's config, overridden by a TOML file, overridden by options. Raises TrainingError.

    `variant` in the file or the options is a short form of `model.variant`.
    """
    config = make_preset(PRESETS, preset)
    if path is not None:
        config = _override(config, read_config_file(path), str(path))
    return _override(config, options, "the options")


def _override(config: TrainingConfig, values: Mapping[str, Any], source: str) -> TrainingConfig:
    values = dict(values)
    model = dict(values.pop("model", {}))
    if "variant" in values:
        model["variant"] = values.pop("variant")
    return replace_fields(config, {**values, "model": replace_fields(config.model, model, source)}, source)
