"""What training steps change, and how a checkpoint holds it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch.optim import Optimizer

from training.checkpoint.checkpoint import Checkpoint, TrainingState, save_checkpoint
from training.checkpoint.resume import restore_optimizer
from training.model.pix2gif import Pix2Gif
from training.runtime.rng_state import get_rng_state, set_rng_state
from training.trainer.ema import number_weights, restore_ema


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RunState:
    """The model and all that belongs to its optimization."""

    model: Pix2Gif
    optimizer: Optimizer
    ema: EMAModel
    scaler: torch.amp.GradScaler | None
    """Of fp16; None in other precisions."""

    def save(self, folder: Path, progress: TrainingState, config: Mapping[str, Any], keep: int) -> None:
        """Write a checkpoint, and keep the latest ones."""
        ema = self.ema.state_dict()
        del ema["shadow_params"]
        save_checkpoint(
            folder,
            progress,
            parts={
                "optimizer": self.optimizer.state_dict(),
                "ema": ema,
                "scaler": self.scaler.state_dict() if self.scaler is not None else {},
                "random": get_rng_state(),
            },
            tensors={
                "model": {name: tensor.detach() for name, tensor in self.model.state_dict().items()},
                "ema": number_weights(self.ema),
            },
            config=config,
            keep=keep,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Restore all but the model's weights, which are loaded before the optimizer is created."""
        parts = checkpoint.parts
        restore_optimizer(self.optimizer, parts["optimizer"])
        restore_ema(self.ema, parts["ema"], checkpoint.tensors["ema"])
        if self.scaler is not None and parts["scaler"]:
            self.scaler.load_state_dict(parts["scaler"])
        set_rng_state(parts["random"])
