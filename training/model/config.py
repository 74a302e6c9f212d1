"""What of the model may be chosen: the variant of the paper's section 4.3, and the form of the warping module."""

from dataclasses import dataclass
from typing import Literal, get_args

from training.model.errors import ModelError

Variant = Literal["base", "motion-embed", "warp", "warp-add", "warp-concat", "full"]
FlowMode = Literal["residual", "absolute"]
FlowNorm = Literal["group", "batch"]
MotionInit = Literal["zero", "normal"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The choices that make one Pix2Gif model; weights of one variant do not fit another."""

    variant: Variant = "full"
    """What is concatenated to the noisy latent, and what is trained (Pix2Gif, section 4.3)."""

    flow_mode: FlowMode = "residual"
    """`residual`: identity plus displacement, as in the paper; `absolute`: the grid itself, as in the authors' code."""

    flow_norm: FlowNorm = "group"
    """FlowNet's normalisation: `group` does not depend on the batch; `batch` is what the authors' code has."""

    motion_init: MotionInit = "zero"
    """The motion embedding at step 0: `zero` leaves the text's embedding as it was trained; `normal` is N(0, 1)."""

    num_motions: int = 1024
    """Entries of the motion embedding: magnitudes from 0 to one less, in pixels."""

    def __post_init__(self) -> None:
        for field, allowed in (
            ("variant", get_args(Variant)),
            ("flow_mode", get_args(FlowMode)),
            ("flow_norm", get_args(FlowNorm)),
            ("motion_init", get_args(MotionInit)),
        ):
            value = getattr(self, field)
            if value not in allowed:
                raise ModelError(f"{field} is {value!r}; it must be one of {', '.join(allowed)}")
        if not isinstance(self.num_motions, int) or not 1 <= self.num_motions <= 10_000:
            raise ModelError(f"num_motions is {self.num_motions!r}; it must be a whole number from 1 to 10000")

    @property
    def in_channels(self) -> int:
        """Channels of the U-Net's input: 4 of the noisy latent, and 4 for each latent concatenated to it."""
        return 12 if self.variant in ("warp-concat", "full") else 8

    @property
    def has_motion_embedding(self) -> bool:
        """Whether the motion magnitude has an embedding of its own, beside the words in the prompt."""
        return self.variant != "base"

    @property
    def has_warp(self) -> bool:
        """Whether there is a warping module."""
        return self.variant not in ("base", "motion-embed")

    @property
    def has_perceptual_loss(self) -> bool:
        """Whether the perceptual loss holds the warped latent to the source."""
        return self.variant == "full"
