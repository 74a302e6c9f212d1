"""Differentiable depth estimation with a depth model of transformers.

F images of H x W pixels in [-1, 1]. Disparity is inverse depth: near pixels have a large one.
"""

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (PyTorch's conventional name.)
from transformers import AutoConfig, AutoModelForDepthEstimation
from transformers.image_processing_base import ImageProcessingMixin

from training.model.errors import ModelError
from training.model.pretrained.loading import LOADING_ERRORS, check_name_or_folder, load_weights

_FAMILIES = ("depth_anything", "dpt")
"""Model types that predict relative disparity. Others predict depth in metres, which is large for far pixels."""


class Disparity(Protocol):
    """Estimates disparity on any scale: images [F, 3, H, W] in [-1, 1] -> [F, H, W]."""

    def __call__(self, images: Tensor) -> Tensor:
        """Return the disparity of images."""


class DepthModel(nn.Module):
    """A frozen depth model that preprocesses images as tensors, because its own image processor has no gradient."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, side: int, mean: list[float], std: list[float]) -> None:
        """Wrap a model. `side`: side of its input in pixels; `mean`, `std`: its normalization of images in [0, 1]."""
        super().__init__()
        self.model = model.requires_grad_(False).eval()
        self.side = side
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Estimate disparity: [F, 3, H, W] in [-1, 1] -> float32 [F, H, W]."""
        size = (self.side, self.side)
        resized = F.interpolate(images.float() / 2 + 0.5, size, mode="bicubic", align_corners=False, antialias=True)
        normalized = (resized - self.mean) / self.std
        disparity = self.model(pixel_values=normalized).predicted_depth.float()
        return F.interpolate(disparity[:, None], images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]


def load_depth_model(name_or_folder: str) -> DepthModel:
    """Load a model of relative depth from a folder or a hub repository. Raises ModelError for any other model."""
    check_name_or_folder(name_or_folder)
    try:
        config = AutoConfig.from_pretrained(name_or_folder)
        processor, _ = ImageProcessingMixin.get_image_processor_dict(name_or_folder)
    except LOADING_ERRORS as error:
        raise ModelError(
            f"no depth model can be loaded from {name_or_folder}; name a folder that save_pretrained wrote, with its "
            "preprocessor_config.json, or a hub repository that can be reached"
        ) from error
    is_metric = getattr(config, "depth_estimation_type", "relative") != "relative"
    if config.model_type not in _FAMILIES or is_metric:
        kind = f"metric {config.model_type}" if is_metric else config.model_type
        raise ModelError(f"{name_or_folder} is a {kind}; use a Depth Anything or DPT of relative depth")
    model = load_weights(AutoModelForDepthEstimation.from_pretrained, "depth model", name_or_folder)
    return DepthModel(model, _get_input_side(processor), processor["image_mean"], processor["image_std"])


def _get_input_side(processor: dict[str, Any]) -> int:
    """Return the side in pixels of the square that the processor resizes to, a multiple of the patch size."""
    size = processor.get("size", 518)
    side = int(size if isinstance(size, int) else size.get("height", size.get("shortest_edge", 518)))
    multiple = int(processor.get("ensure_multiple_of", 1))
    return max(multiple, side // multiple * multiple)
