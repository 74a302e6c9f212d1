"""Where generated frames come from: a model of ours that makes them, or a folder that another model's lie in.

F frames of a clip, one for each motion; H, W their size.
"""

import contextlib
import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from shards.manifest import digest
from training.evaluation.config import SamplingConfig
from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.clips import Clip, Frames, find_clips, hash_clip, read_frames
from training.evaluation.tables.work_cache import Recipe, Work
from training.model.pipeline import Pix2GifPipeline, load_pipeline
from training.runtime.devices import DTYPES
from training.runtime.weights import hash_weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What frames are to be made of."""

    key: str
    caption: str
    source: NDArray[np.uint8]
    """RGB, uint8 [H, W, 3]."""


class FrameOrigin(Protocol):
    """A model, or a folder of its frames. `place` names a part of a table: a data set, or a guidance scale."""

    name: str

    def tell(self) -> dict[str, Any]:
        """Tell what a result records of it."""

    def check(self, places: Sequence[str], keys: Sequence[str]) -> None:
        """Raise TrainingError, before anything costly, where the frames of these parts and clips cannot be had."""

    def recipe(self, place: str, request: Request, sampling: SamplingConfig) -> Recipe:
        """Tell all that the frames hang on, without making them."""

    def frames(self, place: str, request: Request, sampling: SamplingConfig) -> Frames:
        """Make or read the frames, uint8 [F, H, W, 3]."""

    def release(self) -> None:
        """Free the memory that is held; the next call takes it again."""


class ModelFrames:
    """Frames that a Pix2Gif model makes, each kept in OUT/work."""

    def __init__(self, name: str, model: str, work: Work, device: torch.device, batch: int | None = None) -> None:
        """Name a folder or hub repository; `batch` frames are made at once, or all of a clip."""
        self.name = name
        self._model, self._work, self._device, self._batch = model, work, device, batch
        self._pipeline: Pix2GifPipeline | None = None
        self._told: dict[str, Any] = {}

    def tell(self) -> dict[str, Any]:
        """Tell the model's place, its weights' hashes, its scheduler and variant."""
        if not self._told:
            self._load()
        return self._told

    def check(self, places: Sequence[str], keys: Sequence[str]) -> None:
        """Load the model once, and let go of it."""
        self.tell()
        self.release()

    def recipe(self, place: str, request: Request, sampling: SamplingConfig) -> Recipe:
        """Tell the model by its weights, not by its name, so that a folder that was trained on is made anew."""
        model = {key: value for key, value in self.tell().items() if key != "place"}
        picture = hashlib.sha256(repr(request.source.shape).encode() + request.source.tobytes()).hexdigest()
        config = dataclasses.asdict(sampling)
        return {"model": model, "sampling": config, "caption": request.caption, "source": picture}

    def frames(self, place: str, request: Request, sampling: SamplingConfig) -> Frames:
        """Read the frames from OUT/work/PLACE/NAME/KEY, or make them."""
        make = functools.partial(self._generate, request, sampling)
        return self._work.frames(f"{place}/{self.name}/{request.key}", self.recipe(place, request, sampling), make)

    def release(self) -> None:
        """Let go of the pipeline."""
        self._pipeline = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _load(self) -> Pix2GifPipeline:
        if self._pipeline is None:
            pipeline = load_pipeline(self._model)
            pipeline.set_progress_bar_config(disable=True)  # type: ignore[no-untyped-call]
            # Hashed as it was stored, before anything is rounded.
            self._told = self._told or {"place": self._model, **_describe(pipeline)}
            self._pipeline = pipeline.to(self._device)
        return self._pipeline

    def _generate(self, request: Request, sampling: SamplingConfig) -> Frames:
        pipeline = self._load().to(DTYPES[sampling.precision])
        height, width = request.source.shape[:2]
        multiple = int(pipeline.image_processor.config["vae_scale_factor"])
        if height % multiple or width % multiple:
            raise EvaluationError(
                f"the source of {request.key} is {width} x {height}, but {self.name} makes sides that are multiples of "
                f"{multiple}: name a --resolution"
            )
        batch = self._batch or len(sampling.motion_px)
        made = []
        for start in range(0, len(sampling.motion_px), batch):
            made += pipeline(
                Image.fromarray(request.source),
                request.caption,
                motion=list(sampling.motion_px[start : start + batch]),
                num_inference_steps=sampling.num_inference_steps,
                text_guidance=sampling.text_guidance,
                image_guidance=sampling.image_guidance,
                seed=sampling.seed,
            ).frames
        return np.stack([np.asarray(frame.convert("RGB")) for frame in made])


class FolderFrames:
    """Frames of another model: FOLDER/PLACE holds a clip for each key, a folder of pictures, a GIF or a video."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder
        self._clips: dict[str, dict[str, Clip]] = {}

    def tell(self) -> dict[str, Any]:
        """Tell the folder."""
        return {"folder": str(self._folder)}

    def check(self, places: Sequence[str], keys: Sequence[str]) -> None:
        """Find every clip."""
        for place in places:
            for key in keys:
                self._find(place, key)

    def recipe(self, place: str, request: Request, sampling: SamplingConfig) -> Recipe:
        """Tell the hash of the clip's files."""
        return {"frames": hash_clip(self._find(place, request.key).path)}

    def frames(self, place: str, request: Request, sampling: SamplingConfig) -> Frames:
        """Read the clip. Raises EvaluationError where it has not one frame for each motion."""
        path = self._find(place, request.key).path
        frames = read_frames(path)
        if len(frames) != len(sampling.motion_px):
            raise EvaluationError(f"{path} has {len(frames)} frames, but the protocol wants {len(sampling.motion_px)}")
        return frames

    def release(self) -> None:
        """Hold nothing."""

    def _find(self, place: str, key: str) -> Clip:
        if place not in self._clips:
            self._clips[place] = {clip.key: clip for clip in find_clips(self._folder / place)}
        with contextlib.suppress(KeyError):
            return self._clips[place][key]
        raise EvaluationError(f"{self._folder / place} has no clip {key}, which the protocol asks for")


def _describe(pipeline: Pix2GifPipeline) -> dict[str, Any]:
    """Tell all of a pipeline that changes its frames: weights, configs, vocabulary, scheduler."""
    parts = {name: part for name, part in sorted(pipeline.components.items()) if isinstance(part, torch.nn.Module)}
    return {
        "variant": pipeline.config["model_variant"],
        "sha256": {name: hash_weights(part) for name, part in parts.items()},
        "configs": {name: digest(_public(part.config)) for name, part in parts.items()},
        "vocabulary": digest(pipeline.tokenizer.get_vocab()),
        "scheduler": {"class": type(pipeline.scheduler).__name__, **_public(pipeline.scheduler.config)},
    }


def _public(config: Any) -> dict[str, Any]:
    """Tell a config's own fields: not where it was loaded from, nor by which version."""
    fields = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    passing = ("dtype", "torch_dtype", "transformers_version")
    return {name: value for name, value in sorted(fields.items()) if not name.startswith("_") and name not in passing}
