"""What may be chosen in the tables' protocols, with the paper's choices. Imports nothing heavy: commands read it."""

import dataclasses
from typing import get_args

from training.evaluation.errors import EvaluationError
from training.runtime.config_fields import Precision

SIXTEEN_MOTIONS = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 9.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0)
"""What the authors ask of a GIF of 16 frames, in pixels of 256 x 256."""

TABLE_2_GUIDANCE = (1.4, 1.6, 1.8, 2.0)
FIGURE_7_GUIDANCE = tuple(round(1 + 0.2 * step, 1) for step in range(11))
"""1.0 to 3.0 by 0.2."""

I3D_NAME = "flateon/FVD-I3D-torchscript"
"""A hub repository with the TorchScript I3D (Kinetics-400) that published PyTorch figures of FVD are made with."""
CLIPSIM_NAME = "openai/clip-vit-base-patch16"
"""CLIP ViT-B/16, the authors' choice for Table 1."""
SIMILARITY_CLIP_NAME = "openai/clip-vit-base-patch32"
SIMILARITY_XCLIP_NAME = "microsoft/xclip-base-patch32"

METRICS = ("fvd", "clipsim", "pic")
"""Of Table 1."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How frames are made of a source and a caption."""

    motion_px: tuple[float, ...]
    """One motion for each frame, in pixels at the frames' size."""

    num_inference_steps: int = 100
    """Of the sampler."""

    text_guidance: float = 7.5
    """s_T."""

    image_guidance: float = 1.8
    """s_I; the paper's cfg.img."""

    seed: int = 1371
    """Of the noise, the same for every clip, as the authors have it."""

    precision: Precision = "no"
    """`no` is float32."""

    def __post_init__(self) -> None:
        if not self.motion_px or min(self.motion_px) < 0:
            raise EvaluationError(f"the motions {self.motion_px} must be one or more magnitudes of 0 or more pixels")
        if self.num_inference_steps < 1:
            raise EvaluationError(f"the steps are {self.num_inference_steps}; they must be 1 or more")
        if self.precision not in get_args(Precision):
            raise EvaluationError(f"the precision is {self.precision}; it must be one of no, bf16, fp16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table1Config:
    """The protocol of Table 1 (Pix2Gif, sections 4.1 and 4.2)."""

    metrics: tuple[str, ...] = METRICS
    """Those that are measured, of fvd, clipsim and pic."""

    num_videos: int = 2048
    """Of each data set, drawn by seed."""

    every: int = 3
    """Each third frame of a real video is taken."""

    num_frames: int = 16
    """Of a real video; a generated one has as many motions."""

    resolution: int = 256
    """Side of the real frames and of the sources, in pixels."""

    seed: int = 1371
    """Of the draw of videos and captions."""

    def __post_init__(self) -> None:
        for field in ("num_videos", "every", "num_frames", "resolution"):
            if getattr(self, field) < 1:
                raise EvaluationError(f"{field} is {getattr(self, field)}; it must be 1 or more")
        if not self.metrics or set(self.metrics) - set(METRICS):
            raise EvaluationError(f"the metrics are {', '.join(self.metrics)}; they must be of {', '.join(METRICS)}")

    @property
    def num_read(self) -> int:
        """How many frames a real video must have."""
        return (self.num_frames - 1) * self.every + 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridConfig:
    """Which val pairs Table 2 and Figure 7 are made from, and at which guidance."""

    image_guidance: tuple[float, ...]
    """The scales s_I that are tried, the paper's cfg.img."""

    num_pairs: int = 100
    """Of the val split, drawn by seed."""

    resolution: int | None = None
    """Side in pixels that pictures are resized to; None leaves them as the data set has them."""

    seed: int = 1371
    """Of the draw of pairs."""

    def __post_init__(self) -> None:
        if not self.image_guidance:
            raise EvaluationError("there is no image guidance to try: name one scale or more")
        if self.num_pairs < 1:
            raise EvaluationError(f"num_pairs is {self.num_pairs}; it must be 1 or more")
