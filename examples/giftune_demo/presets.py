"""Presets of the demo: its models, their training, and the tuning runs to compare."""

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
"""Prompts to sample, by what differs from the GIF."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights of the two regularization losses of a tuning run."""

    background: float = 0.0
    consistency: float = 0.0
    form: str = "change"
    """Form of the temporal consistency loss."""


VARIANTS = {
    "neither": Weights(),
    "both": Weights(background=0.1, consistency=0.01),
    "background 10": Weights(background=10.0),
    "change 1": Weights(consistency=1.0),
    "stillness 1": Weights(consistency=1.0, form="stillness"),
}
"""Variants of the tuning run: no regularization, the weights of the preset `paper`, and a hundred times those."""
EXAMPLE_VARIANT = "both"
"""The variant that the commands invert and sample."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """All choices of one run of the demo except its seed."""

    image_model: ImageModelPlan = dataclasses.field(default_factory=ImageModelPlan)
    depth: DepthPlan = dataclasses.field(default_factory=DepthPlan)
    tuning_steps: int = 100
    learning_rate: float = 1e-3
    """Learning rate of tuning. The preset `paper` uses 3e-5 for 500 steps of a model a thousand times as large."""
    ddim_steps: int = 25
    guidance: float = 3.0
    """Guidance scale of other prompts; the GIF's own prompt is sampled without guidance."""
    variants: tuple[str, ...] = tuple(VARIANTS)
    num_seeds: int = 3

    def tuning_toml(self, model: str, depth_model: str) -> str:
        """Return the config of all tuning runs, on top of the preset `tiny`, as TOML."""
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
        # Numbers and strings are written alike in TOML and JSON.
        return "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())


def demo() -> Preset:
    """Return a run of about 20 minutes on two cores."""
    return Preset()


def smoke() -> Preset:
    """Return a run that executes every step in seconds and learns nothing."""
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
        variants=("neither", EXAMPLE_VARIANT),
        num_seeds=1,
    )


PRESETS = {"demo": demo, "smoke": smoke}
"""Presets by the name that `--preset` takes."""
