"""The clip that a run is tuned on: frames and caption, saved in the run's folder, and latents.

F frames of H x W pixels, latents of c x h x w.
"""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from shards.storage.atomic import write_atomically
from training.errors import TrainingError
from training.generation.writers import write_gif
from training.giftune.config import GifTuneConfig
from training.model.latents import decode_latents, encode_moments

CLIP_FILE = "clip.safetensors"


def write_clip_gif(path: Path, frames: NDArray[np.uint8], durations_ms: NDArray[np.int32]) -> None:
    """Write frames, uint8 [F, H, W, 3], as a GIF that loops, atomically."""
    write_gif([Image.fromarray(frame) for frame in frames], path, durations_ms.tolist())


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """Frames of one GIF and their caption."""

    frames: NDArray[np.uint8]
    """RGB, [F, H, W, 3]."""
    durations_ms: NDArray[np.int32]
    """Duration of each frame, [F]."""
    prompt: str
    """The caption."""

    def images(self) -> Tensor:
        """Return the frames as inputs of the autoencoder: float32 [F, 3, H, W] in [-1, 1]."""
        return torch.from_numpy(self.frames).permute(0, 3, 1, 2).float() / 127.5 - 1

    @property
    def sha256(self) -> str:
        """SHA-256 of frames and caption."""
        return hashlib.sha256(f"{self.frames.shape} {self.prompt}\n".encode() + self.frames.tobytes()).hexdigest()

    def is_same_as(self, other: "Clip") -> bool:
        """Return whether another clip has the same frames and caption."""
        return self.sha256 == other.sha256


def make_clip(frames: NDArray[np.uint8], durations_ms: NDArray[np.int32], prompt: str, config: GifTuneConfig) -> Clip:
    """Select the config's frames from all frames of a GIF, uint8 [T, H, W, 3].

    A selected frame lasts until the next selected one. Raises TrainingError for fewer than two frames and for an empty
    caption.
    """
    if not prompt.strip():
        raise TrainingError("the caption is empty; describe the GIF in a few words")
    indices = np.arange(config.first_frame, len(frames), config.frame_step)[: config.num_frames]
    if len(indices) < 2:
        raise TrainingError(
            f"the clip has {len(indices)} of the GIF's {len(frames)} frames, from frame {config.first_frame} on, every "
            f"{config.frame_step}; it needs 2 or more, so choose another --first-frame or --frame-step"
        )
    durations = [durations_ms[index : index + config.frame_step].sum() for index in indices]
    return Clip(frames=frames[indices], durations_ms=np.array(durations, np.int32), prompt=prompt.strip())


def write_clip(run: Path, clip: Clip) -> None:
    """Write a clip to a run's folder, atomically."""
    tensors = {"frames": torch.from_numpy(clip.frames), "durations_ms": torch.from_numpy(clip.durations_ms)}
    with write_atomically(run / CLIP_FILE) as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors, metadata={"prompt": clip.prompt}))


def read_clip(run: Path) -> Clip:
    """Read the clip of a run's folder. Raises TrainingError if it is missing or damaged."""
    path = run / CLIP_FILE
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return Clip(
                frames=file.get_tensor("frames").numpy(),
                durations_ms=file.get_tensor("durations_ms").numpy(),
                prompt=file.metadata()["prompt"],
            )
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{run} is not a run of `pix2gif giftune train`: {CLIP_FILE} is missing or damaged"
        ) from error


def encode_clip(vae: AutoencoderKL, clip: Clip, frames_at_once: int) -> Tensor:
    """Encode a clip to scaled latents, float32 [F, c, h, w], `frames_at_once` frames at a time.

    Uses the mode of the posterior and not a sample, so that similar frames have similar latents.
    """
    scale = float(vae.config["scaling_factor"])
    parts = [encode_moments(vae, images).mean * scale for images in torch.split(clip.images(), frames_at_once)]
    # The same memory layout as when read from a file, so that later sums have the same order.
    return torch.cat(parts).float().contiguous()


def decode_clip(vae: AutoencoderKL, latents: Tensor, frames_at_once: int) -> NDArray[np.uint8]:
    """Decode scaled latents [F, c, h, w] to frames, uint8 [F, H, W, 3], `frames_at_once` frames at a time."""
    images = torch.cat([decode_latents(vae, part).float().cpu() for part in torch.split(latents, frames_at_once)])
    frames: NDArray[np.uint8] = ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return frames
