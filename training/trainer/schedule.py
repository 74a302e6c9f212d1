"""The learning rate of a step: full in the flow warm-up, then linear warm-up, then constant, linear or cosine decay."""

import math

from torch.optim import Optimizer

from training.trainer.config import TrainingConfig


def compute_learning_rate(config: TrainingConfig, step: int) -> float:
    """Return the learning rate of an optimizer step, counted from 0. It depends on nothing else."""
    step -= config.flow_warmup_steps
    if step < 0:
        return config.learning_rate
    warmup = min(1.0, (step + 1) / max(1, config.warmup_steps))
    num_steps = config.max_steps - config.flow_warmup_steps
    progress = (step - config.warmup_steps) / max(1, num_steps - config.warmup_steps)
    progress = min(1.0, max(0.0, progress))
    decay = {"constant": 1.0, "linear": 1 - progress, "cosine": (1 + math.cos(math.pi * progress)) / 2}
    return config.learning_rate * warmup * decay[config.lr_schedule]


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate
