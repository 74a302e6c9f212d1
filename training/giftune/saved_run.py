"""A tuning run's folder, read again: its model as a checkpoint holds it, and the inversions kept beside it.

RUN holds config.json, clip.safetensors, checkpoints/, validation/, metrics.jsonl; inversions/ are kept here, one for
each checkpoint and number of steps, since any number of captions starts from the same one (GIF-Tune, Method).
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from shards.atomic import write_atomically
from training.checkpoint.checkpoint import load_checkpoint, resolve_resume
from training.errors import TrainingError
from training.giftune.clip import read_clip
from training.giftune.config import GifTuneConfig
from training.giftune.model import TunedModel, make_tuned_model, refuse_long_prompt
from training.giftune.tuner import CONFIG_FILE, restore_weights
from training.runtime.config_fields import replace_fields
from training.runtime.devices import choose_device
from training.runtime.weights import hash_weights


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A run as one of its checkpoints left it."""

    folder: Path
    step: int
    tuned: TunedModel

    def invert(self, num_steps: int) -> tuple[Path, bool]:
        """Keep the noise behind the clip; returns where, and whether it lay there already."""
        path, weights = self._inversion_path(num_steps), hash_weights(self.tuned.model)
        if _read_noise(path, weights) is not None:
            return path, True
        noise = self.tuned.invert(num_steps)
        with write_atomically(path) as temporary:
            temporary.write_bytes(safetensors.torch.save({"noise": noise.cpu()}, metadata={"weights": weights}))
        return path, False

    def sample(self, prompt: str, *, guidance: float | None = None, num_steps: int | None = None) -> NDArray[np.uint8]:
        """Draw a clip for a caption, uint8 [F, H, W, 3], from the inversion that is kept; what is None is the run's.

        Raises TrainingError for a caption without a word, or one that the text model would not hear to its end.
        """
        if not prompt.strip():
            raise TrainingError("the caption is empty; say in a few words what is to be seen")
        config = self.tuned.config
        num_steps = num_steps or config.inversion_steps
        refuse_long_prompt(self.tuned.parts, prompt)
        path, _ = self.invert(num_steps)
        noise = safetensors.torch.load_file(path)["noise"]
        return self.tuned.sample(
            noise, prompt, guidance=config.guidance if guidance is None else guidance, num_steps=num_steps
        )

    def _inversion_path(self, num_steps: int) -> Path:
        return self.folder / "inversions" / f"step-{self.step:08d}-ddim-{num_steps}.safetensors"


def read_run(folder: Path, checkpoint: str = "latest") -> Run:
    """Load a run's model from its latest whole checkpoint, or from the path of one.

    Raises TrainingError where `folder` is no run, holds no checkpoint, or was tuned on another image model.
    """
    clip = read_clip(folder)
    config = _read_config(folder / CONFIG_FILE)
    path, _ = resolve_resume(folder / "checkpoints", checkpoint)
    if path is None:
        raise TrainingError(f"{folder} holds no checkpoint yet; let `pix2gif giftune train` come to one")
    loaded = load_checkpoint(path, only=["model"])
    device = choose_device()
    if device.type == "cpu" and config.precision == "fp16":
        config = dataclasses.replace(config, precision="no")  # What a GPU has tuned, a laptop may draw from.
    tuned = make_tuned_model(config, clip, device)
    restore_weights(tuned.image_model_sha256, tuned.model.trained(), loaded)
    tuned.model.eval().requires_grad_(False)
    return Run(folder=folder, step=loaded.state.step, tuned=tuned)


def _read_config(path: Path) -> GifTuneConfig:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{path.parent} is no run of `pix2gif giftune train`: it has no whole {path.name}"
        ) from error
    return replace_fields(GifTuneConfig(), values, str(path))


def _read_noise(path: Path, weights: str) -> Tensor | None:
    """Read an inversion of these weights; None where there is none."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            if file.metadata()["weights"] != weights:
                return None
            noise: Tensor = file.get_tensor("noise")
    except (OSError, SafetensorError, KeyError, TypeError):
        return None
    return noise
