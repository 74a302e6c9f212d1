"""Embedding networks of the metrics: a folder or hub name -> CLIP or X-CLIP on a device, and the hash of its weights.

B pictures, T frames, E the width of the shared space (512).
"""

from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, CLIPModel, CLIPTokenizer, XCLIPModel

from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.clips import Frames
from training.model.errors import ModelError
from training.model.loading import LOADING_ERRORS, load_weights
from training.model.text import check_tokenizer
from training.runtime.weights import hash_weights

Network = TypeVar("Network", CLIPModel, XCLIPModel)


class _Encoder(Generic[Network]):
    """What CLIP and X-CLIP have in common."""

    def __init__(self, kind: type[Network], what: str, place: str | Path, device: torch.device) -> None:
        network = load_weights(kind.from_pretrained, what, place)
        self._network: Network = network.eval().requires_grad_(False).to(device)
        self._device = device
        # Pillow resizes, whether torchvision is installed or not: its pixels differ.
        self._prepare = _load(AutoImageProcessor.from_pretrained, f"image processor of {what}", place, backend="pil")
        self.sha256 = hash_weights(self._network)

    def _to_pixels(self, frames: Frames) -> Tensor:
        """Prepare frames, uint8 [B, H, W, 3], as the network's own processor does: float32 [B, 3, h, w]."""
        pictures = [Image.fromarray(frame) for frame in frames]
        pixels = np.asarray(self._prepare(images=pictures, return_tensors="np")["pixel_values"], dtype=np.float32)
        # A processor of videos takes the list for one video.
        return torch.from_numpy(pixels.reshape(len(frames), *pixels.shape[-3:])).to(self._device)


class ClipEncoder(_Encoder[CLIPModel]):
    """CLIP (Radford et al., 2021): pictures and texts in one space."""

    def __init__(self, place: str | Path, device: torch.device) -> None:
        """Load from a folder or the hub. Raises TrainingError, one sentence, where weights are not."""
        super().__init__(CLIPModel, "CLIP model", place, device)
        self._tokenizer = _load(CLIPTokenizer.from_pretrained, "tokenizer of CLIP", place)
        _load(lambda _: check_tokenizer(self._tokenizer), "tokenizer of CLIP", place)

    @torch.inference_mode()
    def embed_pictures(self, frames: Frames) -> Tensor:
        """Embed pictures, uint8 [B, H, W, 3], as unit vectors [B, E]."""
        return _unit(self._network.get_image_features(pixel_values=self._to_pixels(frames)))

    @torch.inference_mode()
    def embed_text(self, text: str) -> Tensor:
        """Embed one text, cut at the model's length, as a unit vector [1, E]."""
        text_config: Any = self._network.config.text_config
        length = text_config.max_position_embeddings
        tokens = self._tokenizer([text], truncation=True, max_length=length, return_tensors="pt").to(self._device)
        return _unit(
            self._network.get_text_features(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
        )


class XClipEncoder(_Encoder[XCLIPModel]):
    """X-CLIP (Ni et al., 2022): videos in CLIP's space."""

    def __init__(self, place: str | Path, device: torch.device) -> None:
        """Load from a folder or the hub. Raises TrainingError, one sentence, where weights are not."""
        super().__init__(XCLIPModel, "X-CLIP model", place, device)

    @property
    def num_frames(self) -> int:
        """How many frames the model takes: 8 for X-CLIP B/32."""
        vision_config: Any = self._network.config.vision_config
        return int(vision_config.num_frames)

    @torch.inference_mode()
    def embed_video(self, frames: Frames) -> Tensor:
        """Embed one video, uint8 [T, H, W, 3], as a unit vector [1, E]. Raises EvaluationError for another T."""
        if len(frames) != self.num_frames:
            raise EvaluationError(f"X-CLIP takes {self.num_frames} frames of a clip, but there are {len(frames)}")
        return _unit(self._network.get_video_features(pixel_values=self._to_pixels(frames)[None]))


def _load(from_pretrained: Any, what: str, place: str | Path, **options: Any) -> Any:
    try:
        return from_pretrained(place, **options)
    except (*LOADING_ERRORS, TypeError, ModelError) as error:
        raise EvaluationError(f"no {what} can be loaded from {place}: its files are missing or damaged") from error


def _unit(output: Any) -> Tensor:
    """Scale to length 1. transformers 5 wraps the embedding, earlier ones give it bare."""
    embedding: Tensor = getattr(output, "pooler_output", output)
    return torch.nn.functional.normalize(embedding.float(), dim=-1)
