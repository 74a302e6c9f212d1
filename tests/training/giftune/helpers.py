"""Helpers for tests of GIF-Tune with small random models."""

from pathlib import Path
from typing import Any

import torch

from training.model.pretrained.stable_diffusion import StableDiffusion

NUM_FRAMES = 5


def save_parts(parts: StableDiffusion, folder: Path, **replaced: Any) -> Path:
    """Write the parts to subfolders, as a pipeline's save_pretrained does; return the folder."""
    for name in ("unet", "vae", "text_encoder", "tokenizer", "scheduler"):
        replaced.get(name, getattr(parts, name)).save_pretrained(folder / name)
    return folder


def perturb_trained_parameters(module: torch.nn.Module, seed: int = 5, scale: float = 0.2) -> None:
    """Add N(0, scale) to all trained parameters, including those that are zero at step 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)
