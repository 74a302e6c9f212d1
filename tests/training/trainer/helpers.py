"""Compare the weights of runs."""

from pathlib import Path

import torch

from training.checkpoint.checkpoint import load_checkpoint


def load_latest(out: Path) -> dict[str, dict[str, torch.Tensor]]:
    """Return the tensors of a run's last checkpoint, by part and name."""
    return load_checkpoint(max((out / "checkpoints").iterdir())).tensors


def have_same_weights(one: Path, other: Path) -> bool:
    """Return whether the last checkpoints of two runs are equal to the bit."""
    first, second = load_latest(one), load_latest(other)
    return first.keys() == second.keys() and all(
        first[part].keys() == second[part].keys()
        and all(torch.equal(first[part][name], second[part][name]) for name in first[part])
        for part in first
    )
