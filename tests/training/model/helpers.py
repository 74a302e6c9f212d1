"""Helpers for tests of models with random weights."""

import torch


def randomize_parameters(module: torch.nn.Module, seed: int = 5, scale: float = 0.2) -> None:
    """Overwrite all parameters with N(0, scale), including those that are zero at step 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
