"""Configuration of the tables, with the paper's choices as defaults. Imports neither torch nor other heavy packages."""

import dataclasses
from typing import Literal, get_args

from training.evaluation.errors import EvaluationError
from training.runtime.config_fields import Precision

SIXTEEN_MOTIONS_PX = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 9.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0)
"""The motions that the authors' code requests for 16 frames, in pixels at 256 x 256."""

TABLE_2_GUIDANCE = (1.4, 1.6, 1.8, 2.0)
FIGURE_7_GUIDANCE = tuple(round(1 + 0.2 * step, 1) for step in range(11))
"""1.0 to 3.0 in steps of 0.2."""

I3D_NAME = "flateon/FVD-I3D-torchscript"
"""A hub repository with the TorchScript I3D (Kinetics-400) that published PyTorch values of FVD are computed with."""
CLIPSIM_NAME = "openai/clip-vit-base-patch16"
"""CLIP ViT-B/16, which the authors' code uses for Table 1."""
SIMILARITY_CLIP_NAME = "openai/clip-vit-base-patch32"
SIMILARITY_XCLIP_NAME = "microsoft/xclip-base-patch32"

Noise = Literal["shared", "frame"]

METRICS = ("fvd", "clipsim", "pic")
"""The metrics of Table 1."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How frames are generated from a source and a caption."""

    motion_px: tuple[float, ...]
    """The motion of each frame, in pixels at the frames' size."""

    num_inference_steps: int = 100
    """Steps of the sampler."""

    text_guidance: float = 7.5
    """Text guidance scale s_T."""

    image_guidance: float = 1.8
    """Image guidance scale s_I; cfg.img in the paper."""

    seed: int = 1371
    """Seed of the noise."""

    noise: Noise = "shared"
    """`shared`: all frames of all clips start from the same noise, as in the authors' Table 1. `frame`: each frame of
    each clip has noise of its own, as in their Table 2 and Figure 7."""

    precision: Precision = "no"
    """Precision of the model; `no` is float32."""

    def __post_init__(self) -> None:
        if not self.motion_px or min(self.motion_px) < 0:
            raise EvaluationError(f"the motions are {self.motion_px}; give one or more, each 0 or more pixels")
        if self.num_inference_steps < 1:
            raise EvaluationError(f"the number of steps is {self.num_inference_steps}; it must be 1 or more")
        for field, allowed in (("noise", get_args(Noise)), ("precision", get_args(Precision))):
            if getattr(self, field) not in allowed:
                raise EvaluationError(f"the {field} is {getattr(self, field)}; it must be one of {', '.join(allowed)}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table1Config:
    """The protocol of Table 1 (Pix2Gif, sections 4.1 and 4.2)."""

    metrics: tuple[str, ...] = METRICS
    """The metrics to compute: fvd, clipsim, pic."""

    num_videos: int = 2048
    """Videos to draw from each data set."""

    every: int = 3
    """Use every n-th frame of a real video."""

    start: int = 1
    """The first frame of a real video that is used. The source is frame 0."""

    num_frames: int = 16
    """Frames of a real video. A generated video has one frame for each motion."""

    resolution: int = 256
    """Side of the real frames and of the sources, in pixels."""

    seed: int = 1371
    """Seed of the drawn videos and captions."""

    def __post_init__(self) -> None:
        for field in ("num_videos", "every", "num_frames", "resolution"):
            if getattr(self, field) < 1:
                raise EvaluationError(f"{field} is {getattr(self, field)}; it must be 1 or more")
        if self.start < 0:
            raise EvaluationError(f"start is {self.start}; it must be 0 or more")
        if not self.metrics or set(self.metrics) - set(METRICS):
            raise EvaluationError(f"the metrics are {', '.join(self.metrics)}; choose from {', '.join(METRICS)}")

    @property
    def min_frames(self) -> int:
        """The number of frames that a real video needs."""
        return self.start + (self.num_frames - 1) * self.every + 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridConfig:
    """The val pairs and guidance scales of Table 2 and Figure 7."""

    image_guidance: tuple[float, ...]
    """The image guidance scales s_I to compare; cfg.img in the paper."""

    num_pairs: int = 100
    """Pairs to draw from the val split."""

    resolution: int | None = None
    """Side in pixels that the images are resized to; None keeps the size of the data set."""

    seed: int = 1371
    """Seed of the drawn pairs."""

    def __post_init__(self) -> None:
        if not self.image_guidance:
            raise EvaluationError("there is no image guidance scale: give one or more")
        if self.num_pairs < 1:
            raise EvaluationError(f"num_pairs is {self.num_pairs}; it must be 1 or more")
