"""A tuning run's folder: load the model of a checkpoint, and cache inversions.

RUN holds config.json, clip.safetensors, checkpoints/, validation/ and metrics.jsonl. All captions start from the same
inversion (GIF-Tune, Method), so RUN/inversions/ caches one for each checkpoint and number of steps.
"""

import dataclasses
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from shards.json_fields import load_json
from shards.storage.atomic import write_atomically
from training.checkpoint.checkpoint import load_checkpoint, resolve_resume
from training.errors import TrainingError
from training.giftune.clip import read_clip
from training.giftune.config import GifTuneConfig
from training.giftune.model import TunedModel, check_prompt_length, make_tuned_model
from training.giftune.tuner import CONFIG_FILE, restore_weights
from training.runtime.config_fields import replace_fields
from training.runtime.devices import choose_device
from training.runtime.weights import hash_weights


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SavedRun:
    """A run at one of its checkpoints."""

    folder: Path
    step: int
    tuned: TunedModel

    def invert(self, num_steps: int) -> tuple[Path, bool]:
        """Write the noise of the clip to the cache; return its path, and whether it existed already."""
        path, weights = self._inversion_path(num_steps), hash_weights(self.tuned.model)
        if _read_noise(path, weights) is not None:
            return path, True
        noise = self.tuned.invert(num_steps)
        with write_atomically(path) as temporary:
            temporary.write_bytes(safetensors.torch.save({"noise": noise.cpu()}, metadata={"weights": weights}))
        return path, False

    def sample(self, prompt: str, *, guidance: float | None = None, num_steps: int | None = None) -> NDArray[np.uint8]:
        """Sample frames for a caption from the cached inversion, uint8 [F, H, W, 3].

        None stands for the value of the run's config. Raises TrainingError for an empty or too long caption.
        """
        if not prompt.strip():
            raise TrainingError("the caption is empty; describe the sample in a few words")
        config = self.tuned.config
        num_steps = num_steps or config.inversion_steps
        check_prompt_length(self.tuned.parts, prompt)
        path, _ = self.invert(num_steps)
        noise = safetensors.torch.load_file(path)["noise"]
        return self.tuned.sample(
            noise, prompt, guidance=config.guidance if guidance is None else guidance, num_steps=num_steps
        )

    def _inversion_path(self, num_steps: int) -> Path:
        return self.folder / "inversions" / f"step-{self.step:08d}-ddim-{num_steps}.safetensors"


def read_run(folder: Path, checkpoint: str = "latest") -> SavedRun:
    """Load a run at its latest complete checkpoint, or at the checkpoint of a path.

    Raises TrainingError if `folder` is not a run, has no checkpoint, or its image model has changed.
    """
    clip = read_clip(folder)
    config = _read_config(folder / CONFIG_FILE)
    path, _ = resolve_resume(folder / "checkpoints", checkpoint)
    if path is None:
        raise TrainingError(f"{folder} has no checkpoint yet; continue `pix2gif giftune train` until it writes one")
    loaded = load_checkpoint(path, only=["model"])
    device = choose_device()
    if device.type == "cpu" and config.precision == "fp16":
        config = dataclasses.replace(config, precision="no")  # A CPU can sample a model tuned on a GPU.
    tuned = make_tuned_model(config, clip, device)
    restore_weights(tuned, loaded)
    tuned.model.eval().requires_grad_(False)
    return SavedRun(folder=folder, step=loaded.state.step, tuned=tuned)


def _read_config(path: Path) -> GifTuneConfig:
    try:
        values = load_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{path.parent} is not a run of `pix2gif giftune train`: {path.name} is missing or damaged"
        ) from error
    return replace_fields(GifTuneConfig(), values, str(path))


def _read_noise(path: Path, weights: str) -> Tensor | None:
    """Read a cached inversion; return None if it is missing, damaged or from other weights."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            if file.metadata()["weights"] != weights:
                return None
            noise: Tensor = file.get_tensor("noise")
    except (OSError, SafetensorError, KeyError, TypeError):
        return None
    return noise
