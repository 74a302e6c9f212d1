"""What of generation may be chosen, with defaults and units. Checked once, on construction."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from training.generation.errors import GenerationError
from training.runtime.config_fields import EVALUATION_MOTIONS_PX, Precision

SchedulerName = Literal["euler-a", "dpm++"]
Fit = Literal["crop", "resize"]
Loop = Literal["none", "boomerang"]
Dither = Literal["floyd-steinberg", "ordered", "none"]

MULTIPLE = 32
"""Sides of generated pictures are multiples of this: the autoencoder divides by 8, FlowNet by 4 more."""

TRAINED_MOTION_PX = (2.0, 20.0)
"""The magnitudes that the pairs of the paper's training data have, in pixels of 256 x 256 (Pix2Gif, section 3.1)."""

MAX_FPS = 50.0
"""Browsers slow a GIF down whose frames last less than 20 ms."""


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """All that decides the frames of a GIF, but for the model, the image and the prompt."""

    motion_px: tuple[float, ...] = EVALUATION_MOTIONS_PX
    """One frame for each magnitude, in pixels of 256 x 256, in the order in which they are shown."""

    loop: Loop = "none"
    """`boomerang` shows the frames forwards, then backwards without either end twice."""

    scheduler: SchedulerName = "euler-a"
    """Euler ancestral, the authors'; or DPM-Solver++ (Lu et al., 2022), which 20 steps are enough for."""

    num_inference_steps: int | None = None
    """Steps of the scheduler; None takes 100 for Euler ancestral and 20 for DPM-Solver++."""

    text_guidance: float = 7.5
    """s_T: how strongly the prompt is followed."""

    image_guidance: float = 1.8
    """s_I: how strongly the source image is kept."""

    seed: int = 0
    """Of all noise; every frame starts from the same."""

    size: tuple[int, ...] = (256,)
    """The shorter side, or width and height, in pixels; multiples of 32."""

    fit: Fit = "crop"
    """`crop` cuts what juts out at the longer sides; `resize` stretches."""

    fps: float = 8.0
    """Frames shown in a second."""

    dither: Dither = "floyd-steinberg"
    """How a GIF's 256 colours stand for more of them."""

    batch: int | None = None
    """Frames that are made at once; None makes all of a GIF at once. Changes no picture but by rounding."""

    precision: Precision = "no"
    """`no` is float32."""

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
        for field, scale in (("text_guidance", self.text_guidance), ("image_guidance", self.image_guidance)):
            _check(math.isfinite(scale), field, scale, "a number")
        _check(0 <= self.seed < 2**63, "seed", self.seed, "a whole number from 0 to 2^63 - 1")
        _check(0 < self.fps <= MAX_FPS, "fps", self.fps, f"more than 0 and at most {MAX_FPS:g}")
        _check(
            len(self.size) in (1, 2) and all(32 <= side <= 2048 and side % MULTIPLE == 0 for side in self.size),
            "size",
            "x".join(map(str, self.size)),
            f"a shorter side or WIDTHxHEIGHT, in multiples of {MULTIPLE} from 32 to 2048",
        )

    @property
    def num_steps(self) -> int:
        """Steps of the scheduler, chosen or its own default."""
        return self.num_inference_steps or {"euler-a": 100, "dpm++": 20}[self.scheduler]


def parse_size(text: str) -> tuple[int, ...]:
    """Read `256` or `320x256`, width first."""
    sides = text.lower().split("x")
    if not all(side.isdecimal() for side in sides):
        raise GenerationError(f"size is {text!r}; it must be a shorter side such as 256, or WIDTHxHEIGHT")
    return tuple(int(side) for side in sides)


def _check(holds: bool, field: str, value: object, allowed: str) -> None:
    if not holds:
        raise GenerationError(f"{field} is {value}; it must be {allowed}")
