"""PIC, perceptual input conformity: similarity of generated frames to their source (Xing et al., 2023, DynamiCrafter).

PIC of a set of clips is the mean of 1 - DreamSim(source, frame) over all frames of all clips; higher is better, and 1
means that every frame equals its source. DreamSim (Fu et al., 2023) is an optional package.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.frames import Frame, Frames, resize_frames
from training.runtime.weights import hash_weights


class DreamSim:
    """A learned perceptual distance between images: 0 for equal images."""

    def __init__(
        self, model: Callable[[Tensor, Tensor], Tensor], prepare: Callable[[Image.Image], Tensor], device: torch.device
    ) -> None:
        """Wrap a model, ([B, 3, h, w], [B, 3, h, w]) -> [B], and its preprocessing, image -> [1, 3, h, w]."""
        self._model, self._prepare, self._device = model, prepare, device
        self.sha256 = hash_weights(model) if isinstance(model, torch.nn.Module) else "none"

    @torch.inference_mode()
    def score_frames(self, source: Frame, frames: Frames) -> NDArray[np.float64]:
        """Return 1 - DreamSim(source, frame) of each frame of uint8 [T, H, W, 3]: float64 [T].

        A source of another size, uint8 [h, w, 3], is resized to the frames' size first.
        """
        height, width = frames.shape[1:3]
        source = resize_frames(source[None], width, height)[0]
        images = torch.cat([self._prepare(Image.fromarray(frame)) for frame in frames]).to(self._device)
        original = self._prepare(Image.fromarray(source)).to(self._device).expand_as(images)
        distances = self._model(original, images)
        return 1 - np.asarray(distances.double().reshape(-1).cpu().numpy(), dtype=np.float64)


def load_dreamsim(device: torch.device, folder: str | Path | None = None) -> DreamSim:
    """Load DreamSim's default ensemble, with its weights in `folder`. Missing weights are downloaded there.

    Raises EvaluationError if the package is not installed, or if the weights can be neither loaded nor downloaded.
    """
    try:
        package: Any = importlib.import_module("dreamsim")
    except ImportError as error:
        raise EvaluationError(
            "PIC needs the package dreamsim, which is not installed: run `pip install dreamsim`, or do without PIC"
        ) from error
    options = {} if folder is None else {"cache_dir": str(folder)}
    try:
        model, prepare = package.dreamsim(pretrained=True, device=str(device), **options)
    except (OSError, RuntimeError, ValueError) as error:
        where = f"from {folder}" if folder else "from their default folder"
        raise EvaluationError(f"cannot load DreamSim's weights {where}, or download them ({error})") from error
    return DreamSim(model.eval().requires_grad_(False), prepare, device)
