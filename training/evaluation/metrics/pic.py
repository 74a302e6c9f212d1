"""PIC, perceptual input conformity: frames and their source -> mean of 1 - DreamSim (Xing et al., 2023, DynamiCrafter).

DreamSim (Fu et al., 2023) comes from its own package, which is optional.
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
from training.evaluation.inputs.clips import Frames
from training.runtime.weights import hash_weights


class DreamSim:
    """A perceptual distance of pictures, 0 for the same."""

    def __init__(
        self, model: Callable[[Tensor, Tensor], Tensor], prepare: Callable[[Image.Image], Tensor], device: torch.device
    ) -> None:
        """Take a model, ([B, 3, h, w], [B, 3, h, w]) -> [B], and what makes [1, 3, h, w] of a picture."""
        self._model, self._prepare, self._device = model, prepare, device
        self.sha256 = hash_weights(model) if isinstance(model, torch.nn.Module) else "none"

    @torch.inference_mode()
    def score_frames(self, source: NDArray[np.uint8], frames: Frames) -> NDArray[np.float64]:
        """Score each frame by 1 - its distance to the source, uint8 [H, W, 3] each: float64 [T]."""
        pictures = torch.cat([self._prepare(Image.fromarray(frame)) for frame in frames]).to(self._device)
        original = self._prepare(Image.fromarray(source)).to(self._device).expand_as(pictures)
        distances = self._model(original, pictures)
        return 1 - np.asarray(distances.double().reshape(-1).cpu().numpy(), dtype=np.float64)


def load_dreamsim(device: torch.device, folder: str | Path | None = None) -> DreamSim:
    """Load DreamSim's ensemble by its package, weights in `folder`, where they are fetched to if they are not there.

    Raises EvaluationError where the package or the weights are not to be had.
    """
    try:
        package: Any = importlib.import_module("dreamsim")
    except ImportError as error:
        raise EvaluationError(
            "PIC needs the package dreamsim, which is not installed: `pip install dreamsim`, or leave PIC out"
        ) from error
    options = {} if folder is None else {"cache_dir": str(folder)}
    try:
        model, prepare = package.dreamsim(pretrained=True, device=str(device), **options)
    except (OSError, RuntimeError, ValueError) as error:
        where = f"in {folder}" if folder else "in its usual folder"
        raise EvaluationError(f"DreamSim's weights are not {where}, and cannot be fetched ({error})") from error
    return DreamSim(model.eval().requires_grad_(False), prepare, device)
