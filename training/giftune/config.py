"""Settings of a tuning run: defaults, units, checks and presets."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from training.errors import TrainingError
from training.runtime.config_fields import (
    Precision,
    RandomSize,
    check_field,
    make_preset,
    read_config_file,
    replace_fields,
)

Consistency = Literal["change", "stillness"]
"""Target of the temporal loss: the source's change between frames, or no change."""

MAX_DDIM_STEPS = 999
"""Stable Diffusion has 1000 timesteps; DDIM needs one fewer."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GifTuneConfig:
    """Every parameter of a run. Checked on construction, and written to the run's folder.

    The paper states no hyperparameters. Defaults are those of Tune-A-Video (Wu et al., 2023), whose method it extends,
    except the weights of the two regularizations, which are ours.
    """

    model: str | None = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    """Folder or hub repository of a Stable Diffusion 1.x or 2.x; None: random weights."""
    random_size: RandomSize = "tiny"
    """Size of a model with random weights: tiny for tests, sd15 for measuring."""
    resolution: int = 512
    """Side of the square, in pixels, that frames are resized to."""
    num_frames: int = 24
    """Maximum number of frames of the clip."""
    first_frame: int = 0
    """Index of the clip's first frame in the GIF, from 0."""
    frame_step: int = 1
    """Use every n-th frame of the GIF."""
    max_steps: int = 500
    """Optimizer steps; each is the whole clip at one timestep."""
    learning_rate: float = 3e-5
    """Constant learning rate of AdamW."""
    weight_decay: float = 1e-2
    """Weight decay of AdamW."""
    max_grad_norm: float = 1.0
    """Gradients with a larger norm are scaled down to this norm."""
    depth_model: str | None = "depth-anything/Depth-Anything-V2-Small-hf"
    """Folder or hub repository of a model of relative depth, Depth Anything or DPT, which finds the background."""
    background_weight: float = 0.1
    """Weight of the background loss, lambda_d; 0 disables it and the depth model."""
    background_frames: int = 2
    """Frames per step in the background loss; each one is decoded and passes through the depth model."""
    background_max_timestep: int = 300
    """The background loss is skipped above this timestep, where the estimated clean image is too vague."""
    consistency_weight: float = 0.01
    """Weight of the temporal consistency loss, lambda_t; 0 disables it."""
    consistency: Consistency = "change"
    """Target of the change between frames: `change`, that of the source; `stillness`, zero (the paper's wording)."""
    precision: Precision = "fp16"
    """Precision of matrix products; weights and optimizer state are float32."""
    gradient_checkpointing: bool = True
    """Recompute activations in the backward pass instead of storing them."""
    frames_at_once: int = 4
    """Frames per batch of the autoencoder."""
    inversion_steps: int = 50
    """DDIM steps of inversion and of sampling."""
    guidance: float = 12.5
    """Scale of classifier-free guidance in sampling; 1 disables it."""
    seed: int = 33
    """Seed of all random numbers."""
    log_every: int = 10
    """Steps between lines of metrics."""
    checkpoint_every: int = 100
    """Steps between checkpoints; the last step always writes one."""
    keep_checkpoints: int = 2
    """Number of latest checkpoints to keep."""
    validate_every: int = 100
    """Steps between validation GIFs; 0 disables them."""
    validation_prompt: str | None = None
    """Prompt of validation GIFs; None: the caption of the clip."""
    wandb_project: str | None = None
    """Also log metrics to this project of Weights & Biases."""

    def __post_init__(self) -> None:
        for name in ("frame_step", "max_steps", "background_frames", "frames_at_once", "log_every", "checkpoint_every",
                     "keep_checkpoints", "inversion_steps", "resolution"):  # fmt: skip
            check_field(self, name, getattr(self, name) >= 1, "1 or more")
        for name in ("first_frame", "validate_every", "seed", "background_weight", "consistency_weight",
                     "weight_decay", "background_max_timestep"):  # fmt: skip
            check_field(self, name, getattr(self, name) >= 0, "0 or more")
        for name in ("learning_rate", "max_grad_norm"):
            check_field(self, name, getattr(self, name) > 0, "more than 0")
        check_field(self, "num_frames", self.num_frames >= 2, "2 or more")
        check_field(self, "inversion_steps", self.inversion_steps <= MAX_DDIM_STEPS, f"{MAX_DDIM_STEPS} or fewer")
        check_field(self, "guidance", self.guidance >= 1, "1 or more")
        check_field(self, "consistency", self.consistency in ("change", "stillness"), "change or stillness")
        check_field(self, "precision", self.precision in get_args(Precision), "no, bf16 or fp16")
        if self.background_weight and self.depth_model is None:
            raise TrainingError("background_weight needs a depth_model; name one or set background_weight to 0")


def paper() -> GifTuneConfig:
    """Return the paper's run with Stable Diffusion 1.5, for a GPU: 24 frames of 512 x 512, 500 steps."""
    return GifTuneConfig()


def tiny() -> GifTuneConfig:
    """Return a run of a small model with random weights on a CPU, for tests and first tries."""
    return GifTuneConfig(
        model=None,
        resolution=64,
        num_frames=8,
        max_steps=100,
        learning_rate=1e-3,
        depth_model=None,
        background_weight=0.0,
        precision="no",
        gradient_checkpointing=False,
        inversion_steps=20,
        log_every=1,
        checkpoint_every=50,
        validate_every=50,
    )


PRESETS = {"paper": paper, "tiny": tiny}
"""Presets by name."""


def resolve_config(preset: str, path: Path | None, options: Mapping[str, Any]) -> GifTuneConfig:
    """Return a preset's config, overridden by a TOML file, overridden by options. Raises TrainingError."""
    config = make_preset(PRESETS, preset)
    if path is not None:
        config = replace_fields(config, read_config_file(path), str(path))
    return replace_fields(config, options, "the options")
