"""What is far in a picture: a depth model of transformers, through which gradients flow back to the picture.

F pictures of H x W pixels in [-1, 1]. Disparity is inverse depth: great where near.
"""

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (The name that everyone knows it by.)
from transformers import AutoConfig, AutoModelForDepthEstimation
from transformers.image_processing_base import ImageProcessingMixin

from training.model.errors import ModelError
from training.model.loading import LOADING_ERRORS, check_name_or_folder, load_weights

_FAMILIES = ("depth_anything", "dpt")
"""Models of relative disparity; others tell depth in metres, where far is great."""


class Disparity(Protocol):
    """Tells how near each pixel is: pictures [F, 3, H, W] in [-1, 1] -> disparity [F, H, W], on any scale."""

    def __call__(self, images: Tensor) -> Tensor:
        """Estimate."""


class DepthModel(nn.Module):
    """A frozen depth model that prepares its pictures in tensors, as its own processor would cut the gradients."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, side: int, mean: list[float], std: list[float]) -> None:
        """Take a model, the side in pixels that it wants, and the mean and deviation of its pictures in [0, 1]."""
        super().__init__()
        self.model = model.requires_grad_(False).eval()
        self.side = side
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """[F, 3, H, W] in [-1, 1] -> disparity, float32 [F, H, W]."""
        size = (self.side, self.side)
        pictures = F.interpolate(images.float() / 2 + 0.5, size, mode="bicubic", align_corners=False, antialias=True)
        prepared = (pictures - self.mean) / self.std
        disparity = self.model(pixel_values=prepared).predicted_depth.float()
        return F.interpolate(disparity[:, None], images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]


def load_depth_model(name_or_folder: str) -> DepthModel:
    """Load a model of relative depth from a folder or the hub. Raises ModelError where it is none."""
    check_name_or_folder(name_or_folder)
    try:
        config = AutoConfig.from_pretrained(name_or_folder)
        processor, _ = ImageProcessingMixin.get_image_processor_dict(name_or_folder)
    except LOADING_ERRORS as error:
        raise ModelError(
            f"no depth model can be loaded from {name_or_folder}: name a folder that save_pretrained wrote, its "
            "preprocessor_config.json included, or a repository of the hub that can be reached"
        ) from error
    metric = getattr(config, "depth_estimation_type", "relative") != "relative"
    if config.model_type not in _FAMILIES or metric:
        kind = f"metric {config.model_type}" if metric else config.model_type
        raise ModelError(f"{name_or_folder} is a {kind}; take a Depth Anything or DPT of relative depth")
    model = load_weights(AutoModelForDepthEstimation.from_pretrained, "depth model", name_or_folder)
    return DepthModel(model, _side(processor), processor["image_mean"], processor["image_std"])


def _side(processor: dict[str, Any]) -> int:
    """Find the side of the square that the processor would resize to, a multiple of the model's patches."""
    size = processor.get("size", 518)
    side = int(size if isinstance(size, int) else size.get("height", size.get("shortest_edge", 518)))
    multiple = int(processor.get("ensure_multiple_of", 1))
    return max(multiple, side // multiple * multiple)
