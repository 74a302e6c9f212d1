"""Generation settings: defaults, units and checks."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from training.generation.errors import GenerationError
from training.runtime.config_fields import EVALUATION_MOTIONS_PX, Precision

SchedulerName = Literal["euler-a", "dpm++", "lcm"]
Fit = Literal["squash", "crop", "resize"]
Loop = Literal["none", "boomerang"]
Dither = Literal["floyd-steinberg", "ordered", "none"]

SIDE_MULTIPLE = 32
"""Frame sides are multiples of this: the autoencoder divides them by 8, FlowNet by another 4."""

EVEN = 2
"""Squashed frames have even sides, which H.264 needs."""

MAX_FPS = 50.0
"""Browsers slow down GIFs whose frames last less than 20 ms."""


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """Everything that determines the frames of a GIF except the model, the image and the prompt."""

    motion_px: tuple[float, ...] = EVALUATION_MOTIONS_PX
    """One frame per magnitude, in pixels at 256 x 256, in display order."""

    loop: Loop = "none"
    """`boomerang` plays the frames forwards, then backwards without repeating either end."""

    scheduler: SchedulerName = "euler-a"
    """`euler-a`: Euler ancestral, the authors' choice. `dpm++`: DPM-Solver++ (Lu et al., 2022), with fewer steps.
    `lcm`: for an LCM-LoRA (Luo et al., 2023)."""

    num_inference_steps: int | None = None
    """Scheduler steps. None: 100 for Euler ancestral, 20 for DPM-Solver++, 4 for LCM."""

    lora: str | None = None
    """File, folder or hub repository of a LoRA for Stable Diffusion 1.x."""

    lora_scale: float = 1.0
    """Factor of the LoRA's effect."""

    text_guidance: float = 7.5
    """Guidance scale of the prompt, s_T."""

    image_guidance: float = 1.8
    """Guidance scale of the source image, s_I."""

    seed: int = 0
    """Seed of the noise. All frames share the same noise."""

    size: tuple[int, ...] | None = None
    """The shorter side, or width and height, in pixels; None is the size of the training pictures, for `squash` their
    shorter side."""

    fit: Fit = "squash"
    """`squash` resizes the image to the size of the training pictures, which were squashed too, and the frames back.
    `crop` cuts the longer sides at both ends, `resize` stretches the image; both generate at `size` itself, in
    multiples of 32."""

    fps: float = 8.0
    """Frames per second."""

    dither: Dither = "floyd-steinberg"
    """How a GIF approximates colours outside its palette of 256."""

    batch: int | None = None
    """Frames per batch; None generates all frames in one. Changes frames only by rounding."""

    precision: Precision = "no"
    """Precision of the weights; `no` is float32."""

    def __post_init__(self) -> None:
        for field, allowed in (
            ("scheduler", get_args(SchedulerName)),
            ("fit", get_args(Fit)),
            ("loop", get_args(Loop)),
            ("dither", get_args(Dither)),
            ("precision", get_args(Precision)),
        ):
            _check(getattr(self, field) in allowed, field, getattr(self, field), f"one of {', '.join(allowed)}")
        _check(bool(self.motion_px), "motion", "empty", "one magnitude or more, such as 2,4,6,8")
        for motion_px in self.motion_px:
            _check(math.isfinite(motion_px) and motion_px >= 0, "motion", motion_px, "0 or more pixels")
        for field, value in (("steps", self.num_inference_steps), ("batch", self.batch)):
            _check(value is None or value >= 1, field, value, "1 or more")
        for field in ("text_guidance", "image_guidance", "lora_scale"):
            _check(math.isfinite(getattr(self, field)), field, getattr(self, field), "a number")
        _check(0 <= self.seed < 2**63, "seed", self.seed, "a whole number from 0 to 2^63 - 1")
        _check(0 < self.fps <= MAX_FPS, "fps", self.fps, f"more than 0, up to {MAX_FPS:g}")
        size, multiple = self.size or (SIDE_MULTIPLE,), EVEN if self.fit == "squash" else SIDE_MULTIPLE
        _check(
            len(size) in (1, 2) and all(32 <= side <= 2048 and side % multiple == 0 for side in size),
            "size",
            "x".join(map(str, size)),
            f"a shorter side or WIDTHxHEIGHT, in multiples of {multiple} from 32 to 2048",
        )

    @property
    def num_steps(self) -> int:
        """Scheduler steps: the chosen number, or the scheduler's default."""
        return self.num_inference_steps or {"euler-a": 100, "dpm++": 20, "lcm": 4}[self.scheduler]


def parse_size(text: str) -> tuple[int, ...]:
    """Parse `256` or `320x256`, width first. Raises GenerationError."""
    sides = text.lower().split("x")
    if not all(side.isdecimal() for side in sides):
        raise GenerationError(f"size is {text!r}; it must be a shorter side such as 256, or WIDTHxHEIGHT")
    return tuple(int(side) for side in sides)


def _check(is_valid: bool, field: str, value: object, allowed: str) -> None:
    if not is_valid:
        raise GenerationError(f"{field} is {value}; it must be {allowed}")
