"""Write a folder with the layout of Stable Diffusion 1.5 and small parts.

The autoencoder is trained. The U-Net has random weights and is trained by `pix2gif train`. The text model keeps its
random weights: its embeddings distinguish words and their positions, which is enough for captions of one form.
"""

import dataclasses
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from transformers import CLIPTextConfig, CLIPTextModel

from examples.toy_world.draw import COLOURS, DIRECTIONS, GROUNDS, PATTERNS, SHAPES
from training.model.text.encoder import NUM_TOKENS
from training.model.text.tokenizer import make_tokenizer

_SMALL = 0.02
"""Factor of the initial weights of the remaining channels of the U-Net's last layer."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenoiserPlan:
    """Widths of the U-Net and of the text model."""

    widths: tuple[int, ...] = (32, 64, 96)
    """Channels of each level; each level has half the resolution of the one before. The first has no attention."""
    layers: int = 1
    """Residual blocks per level."""
    text_width: int = 192
    """A third of it is 8 x 8, the layout that the injection module needs for latents of 16 x 16."""


def write_stable_diffusion(folder: Path, vae: AutoencoderKL, plan: DenoiserPlan, seed: int) -> None:
    """Write the parts in the format of diffusers, for `pix2gif train --pretrained`."""
    torch.manual_seed(seed)
    tokenizer = make_tokenizer(_words())
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=plan.text_width,
            intermediate_size=plan.text_width,
            num_hidden_layers=1,
            num_attention_heads=plan.text_width // 32,
            max_position_embeddings=NUM_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    unet = make_unet(plan)
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
                              steps_offset=1)  # fmt: skip
    parts = {"unet": unet, "vae": vae, "text_encoder": text_encoder, "tokenizer": tokenizer, "scheduler": scheduler}
    for name, part in parts.items():
        part.save_pretrained(folder / name)


def make_unet(plan: DenoiserPlan) -> UNet2DConditionModel:
    """Return an untrained U-Net whose first guess of the noise is the noisy latent."""
    lower = len(plan.widths) - 1
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=plan.widths,
        layers_per_block=plan.layers,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * lower),
        up_block_types=(*("CrossAttnUpBlock2D",) * lower, "UpBlock2D"),
        cross_attention_dim=plan.text_width,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    initialise_as_identity(unet)
    return unet


def initialise_as_identity(unet: UNet2DConditionModel) -> None:
    """Initialise a U-Net so that it returns the noisy latent as its prediction of the noise.

    At the noisiest timesteps, which decide the layout of an image, the input is the noise to within a percent. An
    untrained U-Net would spend the short training of a toy on learning that, and ignore its conditions. Each latent
    channel passes through the first and the last skip connection as x and -x: SiLU(x) - SiLU(-x) = x, and their common
    normalisation divides by the standard deviation of the latent.
    """
    last = unet.up_blocks[-1].resnets[-1]
    conv_in, shortcut, conv2, conv_out = unet.conv_in, last.conv_shortcut, last.conv2, unet.conv_out
    latents = conv_in.in_channels
    # Use whole groups of the normalisation, so that no other channel changes their standard deviation.
    num = max(2 * latents, conv_in.out_channels // last.norm1.num_groups)
    skipped = shortcut.in_channels - conv_in.out_channels
    with torch.no_grad():
        for part in (conv_in, shortcut, conv2):
            part.weight[:num] = 0
            part.bias[:num] = 0
        conv_out.weight *= _SMALL
        conv_out.bias[:] = 0
        for channel in range(num):
            latent, sign = channel // 2 % latents, 1 - 2 * (channel % 2)
            conv_in.weight[channel, latent, 1, 1] = sign
            shortcut.weight[channel, skipped + channel] = 1
            conv_out.weight[latent, channel, 1, 1] = sign * 2 * latents / num


def _words() -> list[str]:
    """List the words of the captions; each becomes one token."""
    phrases = (*SHAPES, *PATTERNS, *COLOURS, *DIRECTIONS, *GROUNDS, "a moves over")
    return [word for phrase in phrases for word in phrase.split()]
