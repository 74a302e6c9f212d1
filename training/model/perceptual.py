"""The perceptual loss: VGG19 features of the warped latent against those of the source (Pix2Gif, section 3.4, eq. 7).

Defines the layers of VGG19 (Simonyan and Zisserman, 2015) that the loss needs, with torchvision's module names, so that
weights of torchvision, or of timm on the hub, load by name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import safetensors
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (PyTorch's conventional name.)

from training.model.config import PerceptualFeatures
from training.model.errors import ModelError

DEFAULT_WEIGHTS = "timm/vgg19.tv_in1k"
LAYERS = (0, 5, 10, 19, 28)
"""Compared layers, by torchvision's index: the first convolution and the first after each pooling."""

_PLAN = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512, 512, 512, 512, "pool", 512)
_MIN_SIZE = 16
"""Smallest latent side that four poolings leave a pixel of."""


class PerceptualLoss(nn.Module):
    """A frozen VGG19 with 4 input channels, and the distance between its features. Build it once, before training.

    `from_weights` loads weights; `random` makes some for tests and benchmarks.
    """

    def __init__(self, weights: Mapping[str, Tensor], compared: PerceptualFeatures = "before-relu") -> None:
        """Load torchvision's `features.N.weight` and `features.N.bias`; the first layer may have 3 or 4 channels.

        `after-relu` compares all layers but the last after their ReLU. So does the authors' code, as torchvision's ReLU
        works in place.
        """
        super().__init__()
        self.compared = compared
        self.features = _build_features()
        parameters = {f"features.{name}": parameter for name, parameter in self.features.named_parameters()}
        given = {name: weights[name] for name in parameters if name in weights}
        first = given.get("features.0.weight")
        if first is not None and first.shape[1] == 3:
            given["features.0.weight"] = widen_first_layer(first)
        for name, parameter in parameters.items():
            if name not in given:
                raise ModelError(f"not weights of VGG19: {name} is missing")
            if given[name].shape != parameter.shape:
                shapes = f"{tuple(given[name].shape)}, not {tuple(parameter.shape)}"
                raise ModelError(f"not weights of VGG19: {name} has shape {shapes}")
        self.load_state_dict(given)
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def from_weights(cls, source: str | Path = DEFAULT_WEIGHTS, compared: PerceptualFeatures = "before-relu") -> Self:
        """Load weights from a .safetensors, .pt or .pth file, a folder with one such file, or a hub repository.

        A hub repository is `owner/name`, with a `model.safetensors`, or `owner/name/file.safetensors`.
        Raises ModelError for missing or unreadable weights.
        """
        path = _find_weights(source)
        try:
            if path.suffix == ".safetensors":
                return cls(load_file(path), compared)
            return cls(torch.load(path, map_location="cpu", weights_only=True), compared)
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
        except (OSError, RuntimeError, ValueError, EOFError, safetensors.SafetensorError, TypeError) as error:
            raise ModelError(f"cannot read VGG19 weights from {path}: {_first_line(error)}") from error
        except Exception as error:  # torch.load raises pickle errors without a common base class.
            raise ModelError(f"{path} has an unsupported format for VGG19 weights: {_first_line(error)}") from error

    @classmethod
    def random(cls, seed: int = 0, compared: PerceptualFeatures = "before-relu") -> Self:
        """Return a loss with random weights (He et al., 2015), for tests and benchmarks only."""
        generator = torch.Generator().manual_seed(seed)
        weights = {}
        for name, parameter in _build_features().named_parameters():
            shape = (64, 3, 3, 3) if name == "0.weight" else tuple(parameter.shape)
            fan_in = 1 if len(shape) == 1 else shape[1] * shape[2] * shape[3]
            scale = 0.01 if len(shape) == 1 else (2 / fan_in) ** 0.5
            weights[f"features.{name}"] = torch.randn(shape, generator=generator) * scale
        return cls(weights, compared)

    def forward(self, warped: Tensor, source: Tensor) -> Tensor:
        """Return the mean squared feature errors, summed over LAYERS: z_W and source latent, [B, 4, H, W] each -> [B].

        `source` is FlowNet's input, with zeros where the image condition was dropped. As in the authors' code, latents
        are neither scaled nor normalized. Gradients reach only `warped`.
        """
        if min(warped.shape[-2:]) < _MIN_SIZE:
            size = f"{warped.shape[-1]} x {warped.shape[-2]}"
            raise ModelError(
                f"a latent of {size} is too small for VGG19; it must be {_MIN_SIZE} x {_MIN_SIZE} or larger"
            )
        loss = torch.zeros(warped.shape[0], device=warped.device)
        features, expected = warped, source.detach()
        for index, layer in enumerate(self.features):
            features = layer(features)
            with torch.no_grad():
                expected = layer(expected)
            if index in LAYERS:
                has_relu = self.compared == "after-relu" and index != LAYERS[-1]
                first, second = (F.relu(part) if has_relu else part for part in (features, expected))
                loss = loss + (first.float() - second.float()).square().flatten(1).mean(1)
        return loss


def widen_first_layer(weight: Tensor) -> Tensor:
    """Widen [64, 3, 3, 3] to [64, 4, 3, 3] with the mean of the three channels as fourth (Pix2Gif, section 3.4)."""
    return torch.cat([weight, weight.mean(1, keepdim=True)], 1)


def _build_features() -> nn.Sequential:
    """Build layers 0 to 28 of VGG19 with 4 input channels."""
    layers: list[nn.Module] = []
    channels = 4
    for step in _PLAN:
        if isinstance(step, int):
            layers += [nn.Conv2d(channels, step, 3, padding=1), nn.ReLU()]
            channels = step
        else:
            layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers[: LAYERS[-1] + 1])


def _find_weights(source: str | Path) -> Path:
    try:
        path = Path(source).expanduser()
    except RuntimeError as error:
        raise ModelError(f"there are no VGG19 weights at {source}: there is no such user") from error
    if path.is_file():
        return path
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in (".safetensors", ".pt", ".pth"))
        if len(files) != 1:
            raise ModelError(f"{path} must hold one file of VGG19 weights, but holds {len(files)}; name the file")
        return files[0]
    parts = str(source).split("/")
    if isinstance(source, Path) or path.suffix in (".pt", ".pth") or len(parts) not in (2, 3) or not all(parts):
        raise ModelError(
            f"there are no VGG19 weights at {source}; name a file, a folder with one, or OWNER/NAME on the hub"
        )
    try:
        return Path(hf_hub_download("/".join(parts[:2]), parts[2] if len(parts) == 3 else "model.safetensors"))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        raise ModelError(
            f"there are no VGG19 weights at {source}, neither on this machine nor on the hub; name a local file such "
            "as vgg19.safetensors"
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
