"""An inflated model beside the parts around it: its clip -> the noise behind it -> clips for other captions.

F frames, latents of c x h x w, pictures of H x W.
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
from training.model.stable_diffusion import StableDiffusion, load_stable_diffusion, make_random_stable_diffusion
from training.model.text import count_cut_tokens, encode_text, tokenize
from training.runtime.devices import DTYPES, check_precision
from training.runtime.weights import hash_weights

_SHOWN = 60
"""Characters of a prompt that an error repeats."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TunedModel:
    """What inverts and samples. On one device; the U-Net in float32, the rest in the run's precision."""

    config: GifTuneConfig
    clip: Clip
    parts: StableDiffusion
    """The image model; its U-Net is inflated."""
    model: InflatedUNet
    image_model_sha256: str
    """Digest of the image model's U-Net, before it was inflated."""
    device: torch.device

    def clip_latents(self) -> Tensor:
        """Encode the clip: scaled latents, float32 [F, c, h, w]."""
        return encode_clip(self.parts.vae, self.clip, self.config.frames_at_once).to(self.device)

    def text_embeds(self, prompt: str) -> Tensor:
        """Encode a prompt, [1, 77, D]. Raises TrainingError for one that the text model would not hear to its end."""
        refuse_long_prompt(self.parts, prompt)
        return encode_text(self.parts.text_encoder, tokenize(self.parts.tokenizer, [prompt])).float()

    def denoiser(self, prompt: str) -> Denoise:
        """Bind a prompt to the model, which then sees clips at one timestep; in the run's precision."""
        text = self.text_embeds(prompt)
        dtype = DTYPES[self.config.precision]

        def denoise(latents: Tensor, timestep: Tensor) -> Tensor:
            with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
                predicted: Tensor = self.model(latents[None], timestep, text)[0]
            return predicted.float()

        return denoise

    def invert(self, num_steps: int) -> Tensor:
        """Find the noise behind the clip, float32 [F, c, h, w]: DDIM, empty prompt, no guidance (Wu et al., 2023)."""
        return invert(self.denoiser(""), self.clip_latents(), self.parts.scheduler, num_steps).contiguous()

    def sample(self, noise: Tensor, prompt: str, *, guidance: float, num_steps: int) -> NDArray[np.uint8]:
        """Draw a clip from the noise behind this one: frames, uint8 [F, H, W, 3]."""
        denoise = guide(self.denoiser(prompt), self.denoiser(""), guidance)
        latents = sample(denoise, noise.to(self.device), self.parts.scheduler, num_steps)
        return decode_clip(self.parts.vae, latents, self.config.frames_at_once)


def make_tuned_model(config: GifTuneConfig, clip: Clip, device: torch.device) -> TunedModel:
    """Load the image model and inflate it: a model at step 0. Raises ModelError or TrainingError, one sentence."""
    check_precision(config.precision, device)
    if config.model is None:
        parts = make_random_stable_diffusion(config.random_size, config.seed)
    else:
        parts = load_stable_diffusion(config.model, predictions=("epsilon", "v_prediction"))
    factor = 2 ** (len(parts.vae.config["block_out_channels"]) - 1)
    if config.resolution % factor:
        raise TrainingError(f"resolution is {config.resolution}; it must be a multiple of {factor}, as latents go")
    for prompt in (clip.prompt, config.validation_prompt or ""):
        refuse_long_prompt(parts, prompt)
    digest = hash_weights(parts.unet)
    frozen: tuple[nn.Module, ...] = (parts.vae, parts.text_encoder)
    for part in frozen:
        part.to(device, DTYPES[config.precision])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # Of the new attention's matrices.
        model = InflatedUNet(parts.unet, len(clip.frames))
    if config.gradient_checkpointing:
        parts.unet.enable_gradient_checkpointing()
    return TunedModel(
        config=config, clip=clip, parts=parts, model=model.to(device), image_model_sha256=digest, device=device
    )


def refuse_long_prompt(parts: StableDiffusion, prompt: str) -> None:
    """Raise TrainingError for a prompt of more tokens than the text model hears: what is cut would do nothing."""
    if cut := count_cut_tokens(parts.tokenizer, [prompt])[0]:
        begins = prompt if len(prompt) <= _SHOWN else f"{prompt[:_SHOWN]}..."
        raise TrainingError(f"the prompt is {cut} tokens longer than the text model hears; shorten it: {begins!r}")
