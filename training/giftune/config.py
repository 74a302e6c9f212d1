"""What may be chosen in a tuning run, with defaults and units; presets are functions that return a config."""

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
"""What the temporal loss compares: the frames' differences with the source's, or with none at all."""

MAX_DDIM_STEPS = 999
"""One fewer than Stable Diffusion has timesteps."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GifTuneConfig:
    """Every parameter of a run. Checked on construction; the resolved one is written beside every output.

    The paper states no hyperparameters: what it leaves open is Tune-A-Video's (Wu et al., 2023), whose method it
    extends, and the weights of its two regularizations are ours.
    """

    model: str | None = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    """Folder or hub name of a text-to-image model of Stable Diffusion's family; None takes random weights."""
    random_size: RandomSize = "tiny"
    """Size of a model of random weights: tiny for trying out, sd15 for measuring."""
    resolution: int = 512
    """Side in pixels of the square that frames are resized to."""
    num_frames: int = 24
    """Frames that are taken of the GIF at most."""
    first_frame: int = 0
    """The first of them, counted from 0."""
    frame_step: int = 1
    """Frames of the GIF from one taken to the next."""
    max_steps: int = 500
    """Optimizer steps, each on the whole clip at one timestep."""
    learning_rate: float = 3e-5
    """Of AdamW, constant."""
    weight_decay: float = 1e-2
    """Of AdamW."""
    max_grad_norm: float = 1.0
    """Gradients of a greater norm are scaled down to it."""
    depth_model: str | None = "depth-anything/Depth-Anything-V2-Small-hf"
    """Folder or hub name of the model of relative depth that finds the background: Depth Anything or DPT."""
    background_weight: float = 0.1
    """Lambda_d, the weight of the background regularization; 0 leaves it out, and the depth model with it."""
    background_frames: int = 2
    """Frames of a step that it looks at; each passes through the autoencoder and the depth model."""
    background_max_timestep: int = 300
    """It is left out above this timestep, where the estimate of the clean picture shows little."""
    consistency_weight: float = 0.01
    """Lambda_t, the weight of the temporal consistency; 0 leaves it out."""
    consistency: Consistency = "change"
    """change holds the frames' differences to the source's; stillness, the paper's words, to zero."""
    precision: Precision = "fp16"
    """Of the matrix products; weights and optimizer stay in float32."""
    gradient_checkpointing: bool = True
    """Compute activations twice instead of keeping them."""
    frames_at_once: int = 4
    """Frames that pass through the autoencoder together."""
    inversion_steps: int = 50
    """DDIM steps of inversion, and of sampling from what it found."""
    guidance: float = 12.5
    """Scale of classifier-free guidance when sampling; 1 is none."""
    seed: int = 33
    """Of every draw."""
    log_every: int = 10
    """Optimizer steps from one line of metrics to the next."""
    checkpoint_every: int = 100
    """Optimizer steps from one checkpoint to the next; one is written at the end in any case."""
    keep_checkpoints: int = 2
    """The latest so many are kept."""
    validate_every: int = 100
    """Optimizer steps from one validation GIF to the next; 0 makes none."""
    validation_prompt: str | None = None
    """What validation GIFs are drawn for; the GIF's own caption where it is None."""
    wandb_project: str | None = None
    """Tell metrics to this project of Weights & Biases, too."""

    def __post_init__(self) -> None:
        """Raise TrainingError naming the field, its value and what is allowed."""
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
            raise TrainingError("background_weight needs a depth_model; name one, or set background_weight to 0")


def paper() -> GifTuneConfig:
    """Return the run of the paper on Stable Diffusion 1.5, for a GPU: 24 frames of 512 x 512, 500 steps."""
    return GifTuneConfig()


def tiny() -> GifTuneConfig:
    """Return a run of a small model of random weights on a laptop's CPU: for trying out, and for the tests."""
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
"""Presets by the name that `--preset` takes."""


def resolve_config(preset: str, path: Path | None, options: Mapping[str, Any]) -> GifTuneConfig:
    """Return a preset's config, overridden by a TOML file, overridden by options. Raises TrainingError."""
    config = make_preset(PRESETS, preset)
    if path is not None:
        config = replace_fields(config, read_config_file(path), str(path))
    return replace_fields(config, options, "the options")
