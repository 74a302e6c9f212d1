"""A loaded tuning run: inflated U-Net, frozen parts and clip. It inverts the clip and samples other captions.

F frames, latents of c x h x w, images of H x W.
"""

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.errors import TrainingError
from training.giftune.clip import Clip, decode_clip, encode_clip
from training.giftune.config import GifTuneConfig
from training.giftune.ddim import Denoise, guide, invert, sample
from training.giftune.inflation import InflatedUNet
from training.model.factory import fingerprint_frozen_parts
from training.model.pretrained.stable_diffusion import (
    StableDiffusion,
    load_stable_diffusion,
    make_random_stable_diffusion,
)
from training.model.text.encoder import count_cut_tokens, encode_text, tokenize
from training.runtime.devices import DTYPES, check_precision
from training.runtime.weights import hash_weights

_MAX_SHOWN = 60
"""Characters of a prompt that an error message shows."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TunedModel:
    """All parts on one device: the U-Net in float32, the others in the run's precision."""

    config: GifTuneConfig
    clip: Clip
    parts: StableDiffusion
    """The image model; its U-Net is inflated in place."""
    model: InflatedUNet
    fingerprints: dict[str, str]
    """SHA-256 of the clip, of the U-Net before inflation and of the frozen parts, by their names in messages."""
    device: torch.device

    def clip_latents(self) -> Tensor:
        """Encode the clip to scaled latents, float32 [F, c, h, w]."""
        return encode_clip(self.parts.vae, self.clip, self.config.frames_at_once).to(self.device)

    def text_embeds(self, prompt: str) -> Tensor:
        """Encode a prompt to [1, 77, D]. Raises TrainingError for a prompt that is too long."""
        check_prompt_length(self.parts, prompt)
        return encode_text(self.parts.text_encoder, tokenize(self.parts.tokenizer, [prompt])).float()

    def denoiser(self, prompt: str) -> Denoise:
        """Return the model as a denoiser of one clip for a fixed prompt, in the run's precision."""
        text = self.text_embeds(prompt)
        dtype = DTYPES[self.config.precision]

        def denoise(latents: Tensor, timestep: Tensor) -> Tensor:
            with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
                predicted: Tensor = self.model(latents[None], timestep, text)[0]
            return predicted.float()

        return denoise

    def invert(self, num_steps: int) -> Tensor:
        """Return the noise of the clip, float32 [F, c, h, w]: DDIM, empty prompt, no guidance (Wu et al., 2023)."""
        return invert(self.denoiser(""), self.clip_latents(), self.parts.scheduler, num_steps).contiguous()

    def sample(self, noise: Tensor, prompt: str, *, guidance: float, num_steps: int) -> NDArray[np.uint8]:
        """Sample frames for a prompt from the noise of the clip: [F, c, h, w] -> uint8 [F, H, W, 3]."""
        denoise = guide(self.denoiser(prompt), self.denoiser(""), guidance)
        latents = sample(denoise, noise.to(self.device), self.parts.scheduler, num_steps)
        return decode_clip(self.parts.vae, latents, self.config.frames_at_once)


def make_tuned_model(config: GifTuneConfig, clip: Clip, device: torch.device) -> TunedModel:
    """Load and inflate the image model; its new weights are those of step 0. Raises TrainingError."""
    check_precision(config.precision, device)
    if config.model is None:
        parts = make_random_stable_diffusion(config.random_size, config.seed)
    else:
        parts = load_stable_diffusion(config.model)
    factor = 2 ** (len(parts.vae.config["block_out_channels"]) - 1)
    if config.resolution % factor:
        raise TrainingError(f"resolution is {config.resolution}; it must be a multiple of {factor}")
    for prompt in (clip.prompt, config.validation_prompt or ""):
        check_prompt_length(parts, prompt)
    fingerprints = {"clip": clip.sha256, "image model": hash_weights(parts.unet), **fingerprint_frozen_parts(parts)}
    frozen: tuple[nn.Module, ...] = (parts.vae, parts.text_encoder)
    for part in frozen:
        part.to(device, DTYPES[config.precision])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # For the weights of the temporal attention.
        model = InflatedUNet(parts.unet, len(clip.frames))
    if config.gradient_checkpointing:
        parts.unet.enable_gradient_checkpointing()
    return TunedModel(
        config=config, clip=clip, parts=parts, model=model.to(device), fingerprints=fingerprints, device=device
    )


def check_prompt_length(parts: StableDiffusion, prompt: str) -> None:
    """Raise TrainingError for a prompt with more tokens than the text model reads, whose end would have no effect."""
    if num_cut := count_cut_tokens(parts.tokenizer, [prompt])[0]:
        shown = prompt if len(prompt) <= _MAX_SHOWN else f"{prompt[:_MAX_SHOWN]}..."
        raise TrainingError(f"the prompt is {num_cut} tokens too long for the text model; shorten it: {shown!r}")
