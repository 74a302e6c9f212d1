"""The Pix2Gif model: latent diffusion with a motion embedding and a warping module, on diffusers and transformers.

Names are loaded when they are asked for, so that reading a config does not import torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.model.config import ModelConfig, Variant
    from training.model.errors import ModelError
    from training.model.factory import Components, build_from_stable_diffusion, build_random, make_pipeline
    from training.model.perceptual import PerceptualLoss
    from training.model.pipeline import Pix2GifPipeline, load_pipeline
    from training.model.pix2gif import Pix2Gif, Prediction

__all__ = [
    "Components",
    "ModelConfig",
    "ModelError",
    "PerceptualLoss",
    "Pix2Gif",
    "Pix2GifPipeline",
    "Prediction",
    "Variant",
    "build_from_stable_diffusion",
    "build_random",
    "load_pipeline",
    "make_pipeline",
]

_HOMES = {
    "Components": "factory",
    "ModelConfig": "config",
    "ModelError": "errors",
    "PerceptualLoss": "perceptual",
    "Pix2Gif": "pix2gif",
    "Pix2GifPipeline": "pipeline",
    "Prediction": "pix2gif",
    "Variant": "config",
    "build_from_stable_diffusion": "factory",
    "build_random": "factory",
    "load_pipeline": "pipeline",
    "make_pipeline": "factory",
}


def __getattr__(name: str) -> Any:
    """Import a name from its file."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
