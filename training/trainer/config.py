"""The training config: fields with defaults and units, presets, and the order in which sources override them."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from training.errors import TrainingError
from training.model.config import ModelConfig, PerceptualFeatures, PerceptualReference, PredictionType
from training.runtime.config_fields import (
    Precision,
    RandomSize,
    check_field,
    make_preset,
    read_config_file,
    replace_fields,
)

LearningRateSchedule = Literal["constant", "linear", "cosine"]
OptimizerName = Literal["adamw", "adamw-8bit"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Parameters of a run. Checked on construction; the resolved config is written beside every output."""

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    """The paper's variant and how its parts are built."""
    pretrained: str | None = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    """Folder or hub name of the Stable Diffusion 1.x or 2.x, or of the InstructPix2Pix, to start from; None for random
    weights of `random_size`."""
    single_file_config: str | None = None
    """Folder or hub name in diffusers format with the configs and the tokenizer of a single-file `pretrained`; None
    takes those that the hub has for its kind."""
    random_size: RandomSize = "tiny"
    """Size of a model with random weights: tiny for tests, sd15 for measuring."""
    autoencoder: str | None = "stabilityai/sd-vae-ft-mse"
    """Folder or hub name of the autoencoder (Pix2Gif, section 4: ft-MSE); None for that of `pretrained`."""
    prediction: PredictionType | None = None
    """What the U-Net predicts, the noise (epsilon) or the velocity (v_prediction); None keeps that of `pretrained`."""
    zero_terminal_snr: bool = False
    """Rescale the noise schedule so that the last timestep is pure noise; needs v_prediction."""
    perceptual_weights: str | None = "timm/vgg19.tv_in1k"
    """Folder, file or hub name of VGG19's weights; None for random ones, which are for tests only."""
    perceptual_weight: float = 0.01
    """Weight lambda_P of the perceptual loss (Pix2Gif, section 4)."""
    perceptual_features: PerceptualFeatures = "before-relu"
    """Compare the outputs of VGG's convolutions, or those of the ReLUs after them, as the authors' code does."""
    perceptual_reference: PerceptualReference = "source"
    """What z_W is compared with: the latent of the source (Pix2Gif, eq. 7) or of the target (its abstract)."""
    flow_warmup_steps: int = 0
    """First optimizer steps of the run, in which only the warping module and the motion embedding are trained, on the
    error of z_W to the target's latent, at the full learning rate."""
    flow_loss_weight: float = 0.0
    """Weight of that error, of scaled latents, beside the noise loss after the flow warm-up."""
    flow_loss_decay_steps: int = 0
    """Optimizer steps over which `flow_loss_weight` falls linearly to 0; 0 keeps it."""
    lora_rank: int | None = None
    """Rank of adapters for the U-Net's attention (Hu et al., 2022), whose other weights are frozen except those of the
    first convolution; None trains the whole U-Net."""
    global_batch: int = 256
    """Samples per optimizer step, over all processes."""
    micro_batch: int = 16
    """Samples per forward pass of one process; gradients are accumulated up to its share of the global batch."""
    max_steps: int = 25_000
    """Optimizer steps, those of the flow warm-up included."""
    learning_rate: float = 1e-4
    """Learning rate of AdamW after the warm-up."""
    lr_schedule: LearningRateSchedule = "constant"
    """Learning rate after the warm-up: constant, or falling to 0 at the last step, linearly or as a cosine."""
    warmup_steps: int = 10_000
    """Optimizer steps of linear warm-up from 0, after the flow warm-up."""
    optimizer: OptimizerName = "adamw"
    """AdamW with moments in float32, or in 8 bits, which needs the extra `adamw-8bit` and a quarter of the memory."""
    adam_beta1: float = 0.9
    """Decay of AdamW's mean of gradients."""
    adam_beta2: float = 0.999
    """Decay of AdamW's mean of squared gradients."""
    weight_decay: float = 0.01
    """Weight decay of AdamW."""
    max_grad_norm: float | None = 1.0
    """Clip gradients to this norm; None for no clipping."""
    ema_decay: float = 0.9999
    """Decay of the exponential moving average of the trained weights, per optimizer step."""
    ema_on_cpu: bool = False
    """Keep the averaged weights in the CPU's memory between steps: 3.4 GB less on the GPU, two copies a step."""
    drop_text: float = 0.05
    """Probability of dropping the text alone, for classifier-free guidance (Brooks et al., 2023)."""
    drop_both: float = 0.05
    """Probability of dropping text and image."""
    drop_image: float = 0.05
    """Probability of dropping the image alone."""
    snr_gamma: float | None = None
    """Weight timesteps by min(SNR, gamma) / SNR (Hang et al., 2023); None for equal weights, as in the paper."""
    resolution: int | None = 256
    """Required side of the pictures in pixels, the unit of motion; None accepts any."""
    flip: bool = True
    """Mirror source and target together with probability 1/2."""
    precision: Precision = "bf16"
    """Precision of matrix products; weights and optimizer stay in float32."""
    gradient_checkpointing: bool = False
    """Recompute activations instead of storing them: less memory, more time."""
    compile: bool = False
    """Compile the U-Net's transformer blocks and the autoencoder's encoder with torch.compile."""
    channels_last: bool = True
    """Use the channels-last memory format, which is faster on GPUs."""
    num_workers: int = 4
    """Data worker processes per rank; 0 reads in the training process."""
    cache: str | None = None
    """Folder that caches shards from http(s):// or s3://; None reads byte ranges without a cache."""
    window_shards: int | None = None
    """Shuffle within this many shards at a time, for remote shards; None shuffles over all."""
    on_damage: Literal["raise", "skip"] = "raise"
    """Whether a damaged sample ends the run, or is counted and replaced by another sample."""
    wandb_project: str | None = None
    """Also log metrics to this project of Weights & Biases."""
    seed: int = 0
    """Seed of the data order, the noise and every other random choice."""
    log_every: int = 10
    """Optimizer steps between lines of metrics."""
    checkpoint_every: int = 1_000
    """Optimizer steps between checkpoints; the last step always writes one."""
    keep_checkpoints: int = 3
    """Number of checkpoints to keep, the latest ones."""
    validate_every: int = 1_000
    """Optimizer steps between validations, of the averaged weights; 0 for none."""
    validation_samples: int = 64
    """Number of fixed samples of the val split in the validation loss; 0 for none."""
    validation_clips: int = 4
    """Number of fixed samples of the val split in the validation GIFs."""

    def __post_init__(self) -> None:
        """Raise TrainingError for an invalid value, with the field's name and the allowed values."""
        for name in ("global_batch", "micro_batch", "max_steps", "log_every", "checkpoint_every", "keep_checkpoints"):
            check_field(self, name, getattr(self, name) >= 1, "1 or more")
        for name in (
            "warmup_steps", "num_workers", "validate_every", "validation_samples", "validation_clips", "seed",
            "perceptual_weight", "flow_loss_weight", "flow_loss_decay_steps",
        ):  # fmt: skip
            check_field(self, name, getattr(self, name) >= 0, "0 or more")
        check_field(self, "flow_warmup_steps", 0 <= self.flow_warmup_steps < self.max_steps, "0 to below max_steps")
        if not self.model.has_warp:
            for name in ("flow_warmup_steps", "flow_loss_weight"):
                check_field(self, name, not getattr(self, name), f"0: the variant {self.model.variant} has no warp")
        check_field(self, "learning_rate", self.learning_rate > 0, "more than 0")
        for name in ("ema_decay", "adam_beta1", "adam_beta2"):
            check_field(self, name, 0 <= getattr(self, name) < 1, "from 0 to less than 1")
        for name in ("drop_text", "drop_both", "drop_image"):
            check_field(self, name, getattr(self, name) >= 0, "0 or more")
        if (dropped := self.drop_text + self.drop_both + self.drop_image) > 1:
            raise TrainingError(f"drop_text, drop_both and drop_image add up to {dropped:g}; they must not exceed 1")
        check_field(
            self, "max_grad_norm", self.max_grad_norm is None or self.max_grad_norm > 0, "more than 0, or left out"
        )
        check_field(self, "lora_rank", self.lora_rank is None or self.lora_rank >= 1, "1 or more, or left out")
        check_field(self, "snr_gamma", self.snr_gamma is None or self.snr_gamma > 0, "more than 0, or left out")
        for name, allowed in (
            ("precision", get_args(Precision)),
            ("lr_schedule", get_args(LearningRateSchedule)),
            ("optimizer", get_args(OptimizerName)),
            ("prediction", (None, *get_args(PredictionType))),
            ("perceptual_features", get_args(PerceptualFeatures)),
            ("perceptual_reference", get_args(PerceptualReference)),
        ):
            check_field(self, name, getattr(self, name) in allowed, " or ".join(map(str, allowed)))


def paper() -> TrainingConfig:
    """Return the paper's config: Stable Diffusion 1.5, batch 256, 25,000 steps, float32, no clipping."""
    return TrainingConfig(precision="no", max_grad_norm=None, gradient_checkpointing=True, micro_batch=2)


def authors() -> TrainingConfig:
    """Return the paper's config with the authors' warp, initial motion embedding and perceptual features."""
    return dataclasses.replace(
        paper(),
        model=ModelConfig(flow_mode="absolute", flow_norm="batch", warp_layers="authors", motion_init="normal"),
        perceptual_features="after-relu",
    )


def card24() -> TrainingConfig:
    """Return the paper's config for GPUs with 24 GB: bf16, micro-batches of 8, averaged weights on the CPU."""
    return dataclasses.replace(paper(), precision="bf16", micro_batch=8, ema_on_cpu=True)


def card80() -> TrainingConfig:
    """Return the paper's config for GPUs with 80 GB: bf16, compiled, micro-batches of 32, activations stored."""
    return dataclasses.replace(paper(), precision="bf16", micro_batch=32, compile=True, gradient_checkpointing=False)


def tiny() -> TrainingConfig:
    """Return a config for a small random model that trains in minutes on a CPU, for tests."""
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
        validation_samples=8,
        validation_clips=2,
    )


PRESETS = {"card80": card80, "card24": card24, "paper": paper, "authors": authors, "tiny": tiny}
"""Presets by their names for `--preset`."""
DEFAULT_PRESET = "card80"


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
    model = values.pop("model", {})
    if not isinstance(model, Mapping):
        raise TrainingError(f"{source}: model is {model!r}; it must be a table, such as [model]")
    model = dict(model)
    if "variant" in values:
        model["variant"] = values.pop("variant")
    return replace_fields(config, {**values, "model": replace_fields(config.model, model, source)}, source)
