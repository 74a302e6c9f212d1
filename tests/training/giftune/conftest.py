"""Fixtures: a small image model, a drawn clip and quick configs."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples.draw_gifs import DrawnGif, draw_frames, save_gif
from tests.training.giftune.helpers import NUM_FRAMES, save_parts
from training.giftune.clip import Clip
from training.giftune.config import GifTuneConfig, tiny
from training.model.pretrained.stable_diffusion import StableDiffusion, make_random_stable_diffusion


@pytest.fixture
def parts() -> StableDiffusion:
    return make_random_stable_diffusion("tiny", seed=7)


@pytest.fixture(scope="package")
def image_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Stable Diffusion in diffusers format."""
    return save_parts(make_random_stable_diffusion("tiny", seed=7), tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="package")
def gif(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of 70 ms; a texture moves two pixels per frame to the right."""
    path = tmp_path_factory.mktemp("gif") / "texture.gif"
    save_gif(path, draw_frames(DrawnGif(name="", caption="", width=64, height=64, num_frames=6, dx=2)), duration_ms=70)
    return path


@pytest.fixture(scope="package")
def clip() -> Clip:
    frames = draw_frames(DrawnGif(name="", caption="", width=64, height=64, num_frames=NUM_FRAMES, dx=2))
    return Clip(
        frames=np.stack([np.asarray(frame) for frame in frames]),
        durations_ms=np.full(NUM_FRAMES, 70, np.int32),
        prompt="a texture moves right",
    )


@pytest.fixture
def quick() -> Callable[..., GifTuneConfig]:
    """Return a function that makes configs of the tiny preset, without validation and intermediate checkpoints."""

    def make(**fields: Any) -> GifTuneConfig:
        return dataclasses.replace(
            tiny(), **{"validate_every": 0, "checkpoint_every": 1000, "inversion_steps": 4, **fields}
        )

    return make
