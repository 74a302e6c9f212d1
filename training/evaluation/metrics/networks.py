"""The networks that embed images, texts and videos: CLIP and X-CLIP.

Shapes: B images, T frames, E the width of the shared space (512).
"""

from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, CLIPModel, CLIPTokenizer, XCLIPModel

from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.frames import Frames
from training.model.errors import ModelError
from training.model.pretrained.loading import LOADING_ERRORS, load_weights
from training.model.text.encoder import check_tokenizer
from training.runtime.weights import hash_weights

Network = TypeVar("Network", CLIPModel, XCLIPModel)


class _Encoder(Generic[Network]):
    """A frozen network, its image processor and the hash of its weights."""

    def __init__(self, network_class: type[Network], name: str, location: str | Path, device: torch.device) -> None:
        network = load_weights(network_class.from_pretrained, f"{name} model", location)
        self._network: Network = network.eval().requires_grad_(False).to(device)
        self._device = device
        # torchvision resizes to other pixels than Pillow, so results would depend on whether it is installed.
        self._processor = _load(
            AutoImageProcessor.from_pretrained, f"image processor of {name}", location, backend="pil"
        )
        self.sha256 = hash_weights(self._network)

    def _preprocess(self, frames: Frames) -> Tensor:
        """Resize, crop and normalise uint8 [B, H, W, 3] with the network's own processor: float32 [B, 3, h, w]."""
        images = [Image.fromarray(frame) for frame in frames]
        pixels = np.asarray(self._processor(images=images, return_tensors="np")["pixel_values"], dtype=np.float32)
        # X-CLIP's processor takes the list as one video and adds a dimension.
        return torch.from_numpy(pixels.reshape(len(frames), *pixels.shape[-3:])).to(self._device)


class ClipEncoder(_Encoder[CLIPModel]):
    """CLIP (Radford et al., 2021): embeds images and texts in one space."""

    def __init__(self, location: str | Path, device: torch.device) -> None:
        """Load CLIP from a folder or a hub repository. Raises TrainingError if it cannot be loaded."""
        super().__init__(CLIPModel, "CLIP", location, device)
        self._tokenizer = _load(CLIPTokenizer.from_pretrained, "tokenizer of CLIP", location)
        _load(lambda _: check_tokenizer(self._tokenizer), "tokenizer of CLIP", location)

    @torch.inference_mode()
    def embed_images(self, frames: Frames) -> Tensor:
        """Embed images, uint8 [B, H, W, 3], as unit vectors [B, E]."""
        return _normalise(self._network.get_image_features(pixel_values=self._preprocess(frames)))

    @torch.inference_mode()
    def embed_text(self, text: str) -> Tensor:
        """Embed one text, truncated to the model's length, as a unit vector [1, E]."""
        text_config: Any = self._network.config.text_config
        length = text_config.max_position_embeddings
        tokens = self._tokenizer([text], truncation=True, max_length=length, return_tensors="pt").to(self._device)
        return _normalise(
            self._network.get_text_features(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
        )


class XClipEncoder(_Encoder[XCLIPModel]):
    """X-CLIP (Ni et al., 2022): embeds videos in CLIP's space."""

    def __init__(self, location: str | Path, device: torch.device) -> None:
        """Load X-CLIP from a folder or a hub repository. Raises TrainingError if it cannot be loaded."""
        super().__init__(XCLIPModel, "X-CLIP", location, device)

    @property
    def num_frames(self) -> int:
        """The number of frames of a video: 8 for X-CLIP B/32."""
        vision_config: Any = self._network.config.vision_config
        return int(vision_config.num_frames)

    @torch.inference_mode()
    def embed_video(self, frames: Frames) -> Tensor:
        """Embed one video, uint8 [num_frames, H, W, 3], as a unit vector [1, E].

        Raises EvaluationError for another number of frames.
        """
        if len(frames) != self.num_frames:
            raise EvaluationError(f"X-CLIP needs {self.num_frames} frames of a clip, but there are {len(frames)}")
        return _normalise(self._network.get_video_features(pixel_values=self._preprocess(frames)[None]))


def _load(from_pretrained: Any, name: str, location: str | Path, **options: Any) -> Any:
    try:
        return from_pretrained(location, **options)
    except (*LOADING_ERRORS, TypeError, ModelError) as error:
        raise EvaluationError(f"no {name} can be loaded from {location}: its files are missing or damaged") from error


def _normalise(output: Any) -> Tensor:
    """Scale to unit length. transformers 5 wraps the embedding in an output object; earlier versions return it."""
    embedding: Tensor = getattr(output, "pooler_output", output)
    return torch.nn.functional.normalize(embedding.float(), dim=-1)
