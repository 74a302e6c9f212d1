"""Model settings: the variant (Pix2Gif, section 4.3) and the form of the warping module."""

from dataclasses import dataclass
from typing import Literal, get_args

from training.model.errors import ModelError

Variant = Literal["base", "motion-embed", "warp", "warp-add", "warp-concat", "full"]
FlowMode = Literal["residual", "absolute"]
FlowNorm = Literal["group", "batch"]
WarpLayers = Literal["lean", "authors"]
MotionInit = Literal["zero", "normal"]
PerceptualFeatures = Literal["before-relu", "after-relu"]
PerceptualReference = Literal["source", "target"]
PredictionType = Literal["epsilon", "v_prediction"]
"""`epsilon`: the noise (Stable Diffusion 1.x). `v_prediction`: the velocity (Salimans and Ho, 2022; most of 2.x)."""


@dataclass(frozen=True, kw_only=True)
class TrainedOn:
    """The motion and the pictures that a model was trained on. The defaults are the paper's."""

    min_motion: int = 2
    """Lowest motion, cut to whole pixels."""

    max_motion: int = 19
    """Highest motion, cut to whole pixels: the paper's pairs reach just below 20."""

    width: int = 256
    """Width of the pictures, in pixels."""

    height: int = 256
    """Height of the pictures, in pixels."""

    def __post_init__(self) -> None:
        values = (self.min_motion, self.max_motion, self.width, self.height)
        if not all(type(value) is int and 0 <= value <= 100_000 for value in values):
            raise ModelError(f"the model was trained on {values}; four whole numbers are expected")
        if self.min_motion > self.max_motion or not self.width or not self.height:
            raise ModelError(f"the model was trained on {values}; a range of motion and a size are expected")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Settings of one Pix2Gif model. Weights of one variant do not fit another."""

    variant: Variant = "full"
    """Which trained parts exist, and what is concatenated to the noisy latent (Pix2Gif, section 4.3)."""

    flow_mode: FlowMode = "residual"
    """`residual`: the grid is identity plus flow (paper). `absolute`: the grid is the flow (the authors' code)."""

    flow_norm: FlowNorm = "group"
    """Normalization in FlowNet. `group` does not depend on the batch; `batch` is that of the authors' code."""

    warp_layers: WarpLayers = "lean"
    """Layers of FlowNet and the injection. `authors`: a bias before every normalization, normalized deconvolutions, and
    one normalization over channels and width of the injection together."""

    motion_init: MotionInit = "zero"
    """Initial motion embedding: `zero` leaves the pretrained text embedding unchanged; `normal` is N(0, 1)."""

    num_motions: int = 1024
    """Rows of the motion embedding, for the magnitudes 0 to `num_motions - 1`, in pixels."""

    def __post_init__(self) -> None:
        for field, allowed in (
            ("variant", get_args(Variant)),
            ("flow_mode", get_args(FlowMode)),
            ("flow_norm", get_args(FlowNorm)),
            ("warp_layers", get_args(WarpLayers)),
            ("motion_init", get_args(MotionInit)),
        ):
            value = getattr(self, field)
            if value not in allowed:
                raise ModelError(f"{field} is {value!r}; it must be one of {', '.join(allowed)}")
        if not isinstance(self.num_motions, int) or not 1 <= self.num_motions <= 10_000:
            raise ModelError(f"num_motions is {self.num_motions!r}; it must be a whole number from 1 to 10000")

    @property
    def in_channels(self) -> int:
        """Input channels of the U-Net: 4 for the noisy latent and 4 for each latent concatenated to it."""
        return 12 if self.variant in ("warp-concat", "full") else 8

    @property
    def has_motion_embedding(self) -> bool:
        """Whether the motion magnitude has an embedding, in addition to the words in the prompt."""
        return self.variant != "base"

    @property
    def has_warp(self) -> bool:
        """Whether the model has a warping module."""
        return self.variant not in ("base", "motion-embed")

    @property
    def has_perceptual_loss(self) -> bool:
        """Whether training adds the perceptual loss between warped and source latent."""
        return self.variant == "full"
