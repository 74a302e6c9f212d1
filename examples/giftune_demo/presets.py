"""How large the demo's models are, how long they train, and which runs are compared: presets by name."""

import dataclasses
import json

from examples.giftune_demo.depth_model import DepthPlan
from examples.giftune_demo.image_model import ImageModelPlan
from examples.giftune_demo.world import GIF, WORLD
from examples.toy_world.autoencoder import AutoencoderPlan
from examples.toy_world.weights import DenoiserPlan

PROMPTS = {
    "the same": GIF.caption,
    "another sprite": "a yellow striped square moves right over green grass",
    "all other": "a purple spotted diamond moves right over grey stone",
}
"""What is sampled, by what is other than in the GIF."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """What a tuning run is told of the two regularizations."""

    background: float = 0.0
    consistency: float = 0.0
    form: str = "change"
    """Of the temporal loss."""


VARIANTS = {
    "neither": Weights(),
    "both": Weights(background=0.1, consistency=0.01),
    "background 10": Weights(background=10.0),
    "change 1": Weights(consistency=1.0),
    "stillness 1": Weights(consistency=1.0, form="stillness"),
}
"""Runs that differ in these alone, each with every seed: none, the paper preset's weights, a hundred times those."""
SHOWN = "both"
"""The variant that the commands invert and sample."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """All that is chosen of one run of the demo, but for its seed."""

    image_model: ImageModelPlan = dataclasses.field(default_factory=ImageModelPlan)
    depth: DepthPlan = dataclasses.field(default_factory=DepthPlan)
    tuning_steps: int = 100
    learning_rate: float = 1e-3
    """Of tuning; the paper preset's 3e-5 is for a model a thousand times as large and 500 steps."""
    ddim_steps: int = 25
    guidance: float = 3.0
    """Of other prompts; the GIF's own is sampled without."""
    variants: tuple[str, ...] = tuple(VARIANTS)
    num_seeds: int = 3

    def tuning_toml(self, model: str, depth_model: str) -> str:
        """Write what every tuning run is told beside the preset `tiny`, as TOML."""
        fields = {
            "model": model,
            "depth_model": depth_model,
            "resolution": WORLD.side,
            "num_frames": GIF.num_frames,
            "max_steps": self.tuning_steps,
            "learning_rate": self.learning_rate,
            "inversion_steps": self.ddim_steps,
            "guidance": self.guidance,
            "log_every": 10,
            "checkpoint_every": self.tuning_steps,
            "validate_every": 0,
        }
        # TOML's numbers and strings are JSON's.
        return "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())


def demo() -> Preset:
    """Return the run of some minutes."""
    return Preset()


def smoke() -> Preset:
    """Return a run that goes through every step in seconds and learns nothing."""
    return Preset(
        image_model=ImageModelPlan(
            num_pictures=24,
            autoencoder=AutoencoderPlan(widths=(8, 8), crop_steps=2, whole_steps=0, crop_batch=4),
            denoiser=DenoiserPlan(widths=(8, 16), text_width=32),
            steps=2,
            batch=4,
        ),
        depth=DepthPlan(steps=2),
        tuning_steps=2,
        ddim_steps=2,
        variants=("neither", SHOWN),
        num_seeds=1,
    )


PRESETS = {"demo": demo, "smoke": smoke}
"""Presets by the name that `--preset` takes."""
