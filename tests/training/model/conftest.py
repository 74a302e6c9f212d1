"""Fixtures: small models with random weights and their inputs."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from training.model.config import ModelConfig
from training.model.factory import Components, build_random
from training.model.perceptual import PerceptualLoss
from training.model.pix2gif import Pix2Gif, Prediction


@dataclass(frozen=True)
class Inputs:
    """Inputs of one forward pass: B = 2 samples, latents of 16 x 16, text embeddings of width 32."""

    noisy: Tensor
    timesteps: Tensor
    source_latent: Tensor
    text_embeds: Tensor
    motion: Tensor

    def predict(self, model: Pix2Gif) -> Prediction:
        prediction: Prediction = model(self.noisy, self.timesteps, self.source_latent, self.text_embeds, self.motion)
        return prediction


@pytest.fixture
def inputs() -> Inputs:
    generator = torch.Generator().manual_seed(0)
    return Inputs(
        noisy=torch.randn(2, 4, 16, 16, generator=generator),
        timesteps=torch.tensor([10, 700]),
        source_latent=torch.randn(2, 4, 16, 16, generator=generator) * 5,
        text_embeds=torch.randn(2, 77, 32, generator=generator),
        motion=torch.tensor([3.0, 17.9]),
    )


@pytest.fixture
def build() -> Callable[..., Components]:
    """Return a function that builds tiny components of a variant, with fields of ModelConfig."""

    def build_tiny(variant: str = "full", **fields: object) -> Components:
        return build_random(ModelConfig(variant=variant, **fields), "tiny")

    return build_tiny


@pytest.fixture(scope="session")
def perceptual() -> PerceptualLoss:
    return PerceptualLoss.random(seed=1)
