"""Fixtures: small saved pipelines with random weights, and a source image."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.model.helpers import randomize_parameters
from training.generation.generate import Generator, load_generator
from training.model.config import ModelConfig, TrainedOn
from training.model.factory import build_random, make_pipeline

TRAINED_ON = TrainedOn(min_motion=2, max_motion=19, width=64, height=64)


def save_model(folder: Path, variant: str) -> Path:
    parts = build_random(ModelConfig(variant=variant, motion_init="normal"), "tiny")
    randomize_parameters(parts.model.unet.conv_in)
    if parts.model.warping is not None:
        randomize_parameters(parts.model.warping)
    make_pipeline(parts, TRAINED_ON).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("full") / "model", "full")


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("base") / "model", "base")


@pytest.fixture
def generator(model: Path) -> Generator:
    generator = load_generator(str(model), "cpu")
    generator.pipeline.set_progress_bar_config(disable=True)
    return generator


@pytest.fixture
def picture() -> Image.Image:
    y, x = np.mgrid[:150, :200]
    return Image.fromarray(np.stack([x, y, (x + y) % 256], -1).astype(np.uint8))


@pytest.fixture
def cat(picture: Image.Image, tmp_path: Path) -> Path:
    picture.save(tmp_path / "cat.png")
    return tmp_path / "cat.png"
