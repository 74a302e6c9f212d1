"""Presets of the toy world: its size, the training of its models, and the generation of their frames."""

import dataclasses
import json
from typing import Any

from examples.toy_world.autoencoder import AutoencoderPlan
from examples.toy_world.draw import World
from examples.toy_world.weights import DenoiserPlan

VARIANTS = ("base", "motion-embed", "full")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """All choices of one run of the example except its seed."""

    world: World = dataclasses.field(default_factory=World)
    num_train: int = 2400
    """GIFs to draw for training."""
    num_val: int = 120
    """GIFs to draw for the val split. Their kinds of sprites are not in the train split."""
    pairs_per_gif: int = 8
    motion_px: tuple[int, int] = (2, 10)
    """Range of the motion of kept pairs, in pixels at the images' size."""
    pictures: int = 6000
    """Images to train the autoencoder on."""
    autoencoder: AutoencoderPlan = dataclasses.field(default_factory=AutoencoderPlan)
    denoiser: DenoiserPlan = dataclasses.field(default_factory=DenoiserPlan)
    max_steps: int = 2000
    """Optimizer steps of each variant."""
    batch: int = 16
    learning_rate: float = 1e-3
    warmup_steps: int = 50
    ema_decay: float = 0.995
    snr_gamma: float = 0.05
    """As in `pix2gif train`: weight timesteps by min(SNR, gamma) / SNR. This small gamma keeps the weight of the
    noisiest quarter, which decides where the sprite moves, and reduces the others to the same order of magnitude."""
    perceptual_weight: float = 2e-4
    """The paper uses 0.01. Here the true target has a perceptual distance of 4 from the source. At 0.01, moving
    anything would cost 0.04, several times the weighted noise loss."""
    motion_init: str = "normal"
    """Initialisation of the motion embedding. With `zero`, the default, its influence would have to grow first."""
    sampling_steps: int = 20
    text_guidance: float = 1.5
    image_guidance: float = 1.5
    num_clips: int = 48
    """Clips of the val split to generate frames for."""
    precision: str = "no"

    @property
    def requested_px(self) -> tuple[float, ...]:
        """The requested motions: the middle of each whole pixel of the range.

        The model truncates magnitudes to whole numbers, so 4 was learned from pairs of 4 to 5 px and means 4.5.
        """
        return tuple(whole + 0.5 for whole in range(*self.motion_px))

    def training_toml(self) -> str:
        """Return the training config of all variants, on top of the preset `tiny`, as TOML."""
        fields: dict[str, Any] = {
            # A mirrored image would move right under the caption "left".
            "flip": False,
            "resolution": self.world.side,
            "global_batch": self.batch,
            "micro_batch": self.batch,
            "learning_rate": self.learning_rate,
            "warmup_steps": self.warmup_steps,
            "max_steps": self.max_steps,
            "ema_decay": self.ema_decay,
            "snr_gamma": self.snr_gamma,
            "perceptual_weight": self.perceptual_weight,
            "precision": self.precision,
            "validate_every": 0,
            "log_every": 20,
            "checkpoint_every": max(1, self.max_steps // 2),
            "keep_checkpoints": 1,
        }
        # Numbers, strings and booleans are written alike in TOML and JSON.
        plain = "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())
        return f'{plain}[model]\nmotion_init = "{self.motion_init}"\n'


def toy() -> Preset:
    """Return a run of about half an hour on two cores."""
    return Preset()


def gpu() -> Preset:
    """Return a larger run for a GPU: more pairs, a wider U-Net, more steps of a larger batch."""
    return Preset(
        num_train=6000,
        num_val=256,
        pairs_per_gif=10,
        pictures=30_000,
        autoencoder=AutoencoderPlan(
            widths=(32, 64, 128), crop_steps=2000, whole_steps=1000, crop_batch=128, whole_batch=64
        ),
        denoiser=DenoiserPlan(widths=(128, 256, 256), layers=2),
        max_steps=6000,
        batch=128,
        warmup_steps=200,
        learning_rate=5e-4,
        ema_decay=0.999,
        sampling_steps=50,
        num_clips=200,
        precision="bf16",
    )


def smoke() -> Preset:
    """Return a run that executes every step in under a minute and learns nothing."""
    return Preset(
        num_train=12,
        num_val=6,
        pictures=40,
        autoencoder=AutoencoderPlan(widths=(8, 8, 8), crop_steps=4, whole_steps=2, crop_batch=4, whole_batch=2),
        denoiser=DenoiserPlan(widths=(8, 16), text_width=32),
        max_steps=2,
        batch=4,
        warmup_steps=1,
        sampling_steps=2,
        num_clips=2,
    )


PRESETS = {"toy": toy, "gpu": gpu, "smoke": smoke}
"""Presets by the name that `--preset` takes."""
