"""Checkpoints whose content follows from their step, and ways to damage them."""

import os
from pathlib import Path

import torch

from training.checkpoint.checkpoint import TrainingState, load_checkpoint, save_checkpoint

KEEP = 3
CONFIG = {"learning_rate": 1e-4, "perceptual_weights": None, "motions": (2.0, 4.0), "model": {"variant": "full"}}


def save_step(folder: Path, step: int, *, keep: int = KEEP, num_values: int = 1_000) -> Path:
    """Write a checkpoint whose weights are seeded by its step."""
    weights = torch.randn(num_values, generator=torch.Generator().manual_seed(step))
    return save_checkpoint(
        folder,
        TrainingState(step=step, position=8 * step),
        parts={"optimizer": {"state": {0: {"step": torch.tensor(float(step)), "exp_avg": weights / 2}}}},
        tensors={"model": {"weight": weights}, "ema": {"weight": weights / 3}},
        config=CONFIG,
        keep=keep,
    )


def check_content(path: Path, num_values: int = 1_000) -> int:
    """Assert that a checkpoint holds what `save_step` wrote, to the bit, and return its step."""
    checkpoint = load_checkpoint(path)
    step = checkpoint.state.step
    assert path.name.removesuffix(".replaced") == f"step-{step:08d}"
    assert checkpoint.state.position == 8 * step
    weights = torch.randn(num_values, generator=torch.Generator().manual_seed(step))
    assert torch.equal(checkpoint.tensors["model"]["weight"], weights)
    assert torch.equal(checkpoint.tensors["ema"]["weight"], weights / 3)
    assert torch.equal(checkpoint.parts["optimizer"]["state"][0]["exp_avg"], weights / 2)
    return step


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)
