"""A small image model in a folder, a drawn clip, and tuning configs: fast, on one thread."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from examples.draw_gifs import DrawnGif, draw_frames, save_gif
from training.giftune.clip import Clip
from training.giftune.config import GifTuneConfig, tiny
from training.model.stable_diffusion import StableDiffusion, make_random_stable_diffusion

NUM_FRAMES = 5


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def parts() -> StableDiffusion:
    return make_random_stable_diffusion("tiny", seed=7)


@pytest.fixture(scope="package")
def image_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of Stable Diffusion's form in diffusers' form, of small size."""
    return write_parts(make_random_stable_diffusion("tiny", seed=7), tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="package")
def gif(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of a texture that glides two pixels to the right each, 70 ms a frame."""
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
    """Make a config of the tiny preset without validation and checkpoints on the way."""

    def make(**fields: Any) -> GifTuneConfig:
        return dataclasses.replace(
            tiny(), **{"validate_every": 0, "checkpoint_every": 1000, "inversion_steps": 4, **fields}
        )

    return make


def write_parts(parts: StableDiffusion, folder: Path, **replaced: Any) -> Path:
    """Write the parts as save_pretrained does."""
    for name in ("unet", "vae", "text_encoder", "tokenizer", "scheduler"):
        replaced.get(name, getattr(parts, name)).save_pretrained(folder / name)
    return folder


def set_at_random(module: torch.nn.Module, seed: int = 5, scale: float = 0.2) -> None:
    """Fill what is trained at random, the zeros of step 0 too: a model in the midst of training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)
