"""Measure the warp, and teach it: the figures `flow_px` and `warp_error`, and the weight of the flow loss by step.

B samples, H x W latent pixels. A sample whose image was dropped has nothing to warp and counts in no figure.
"""

import dataclasses
import math
from typing import Self

from torch import Tensor

from training.model.config import FlowMode
from training.model.losses import mean_squared_error
from training.model.warp import Warped, measure_flow_px
from training.trainer.config import TrainingConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarpMeasures:
    """Measures of B samples, [B] each, zero for samples without an image."""

    num_warped: Tensor
    """1 for a sample with an image."""
    length_px: Tensor
    """Mean length of the flow, in latent pixels."""
    error: Tensor
    """Mean squared error of z_W to the target's latent, both unscaled. Differentiable."""
    source_error: Tensor
    """The same error of the source's latent, which z_W has to be below."""

    @classmethod
    def compute(cls, warped: Warped, mode: FlowMode, source: Tensor, target: Tensor, has_image: Tensor) -> Self:
        """Measure z_W and its flow against the latents of source and target, [B, 4, H, W], both unscaled.

        `has_image` is bool [B].
        """
        counted = has_image.float()
        return cls(
            num_warped=counted,
            length_px=measure_flow_px(warped.flow.detach(), mode) * counted,
            error=mean_squared_error(warped.latent, target) * counted,
            source_error=mean_squared_error(source, target) * counted,
        )

    def by_name(self) -> dict[str, Tensor]:
        """Return the measures under the names that `pop_figures` reads."""
        return {f"warp/{field.name}": getattr(self, field.name) for field in dataclasses.fields(self)}


def pop_figures(values: dict[str, float]) -> dict[str, float]:
    """Remove the means of `WarpMeasures.by_name` over all samples of a step from `values`; return their two figures.

    `flow_px`: mean length of the flow in latent pixels. `warp_error`: error of z_W to the target's latent over the
    source's own, so 1 is a warp that gains nothing. Not a number if no sample has an image. Returns nothing for a model
    without a warp.
    """
    names = [field.name for field in dataclasses.fields(WarpMeasures)]
    means = {name: values.pop(f"warp/{name}") for name in names if f"warp/{name}" in values}
    if not means:
        return {}
    return {
        "flow_px": _divide(means["length_px"], means["num_warped"]),
        "warp_error": _divide(means["error"], means["source_error"]),
    }


def find_flow_weight(config: TrainingConfig, step: int) -> float:
    """Return the weight of the flow loss at an optimizer step of the joint training, counted from 0 for the run."""
    if not config.flow_loss_decay_steps:
        return config.flow_loss_weight
    done = (step - config.flow_warmup_steps) / config.flow_loss_decay_steps
    return config.flow_loss_weight * max(0.0, 1 - done)


def _divide(value: float, by: float) -> float:
    return value / by if by else math.nan
