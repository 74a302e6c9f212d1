"""Train the toy world's autoencoder, for which the project has no command, and measure its quality."""

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the conventional name)

from shards.pictures import SHARD_FORMATS
from shards.reader import read_shard
from training.evaluation.inputs.val_pairs import ValPair
from training.evaluation.metrics.motion_coherency import measure_frames

_CROP_SIDE = 32
_WARMUP_SHARE = 0.05
_LATENT_SAMPLES = 512

Echo = Callable[[str], object]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoencoderPlan:
    """Size and training of the autoencoder."""

    widths: tuple[int, ...] = (16, 32, 64)
    """Channels at full, half and quarter resolution. Latents have a quarter of the images' side."""
    crop_steps: int = 700
    """Steps on crops of 32 x 32, each at a quarter of the cost of a whole image."""
    whole_steps: int = 120
    """Steps on whole images, after those on crops."""
    crop_batch: int = 32
    whole_batch: int = 16
    learning_rate: float = 2e-3
    """Peak learning rate: linear warm-up over 5 % of the steps, then annealed to zero."""
    kl_weight: float = 1e-6
    """Weight of the posterior's KL divergence from N(0, 1), summed over a latent."""


def read_pictures(split: Path, max_pictures: int | None = None) -> Tensor:
    """Read the distinct images of a split's shards: uint8 [N, 3, H, W]."""
    pictures: dict[tuple[str, int], Tensor] = {}
    for shard in sorted(split.glob("*.tar")):
        for sample in read_shard(shard):
            record = sample.record
            for index, data in ((record.source_index, sample.source), (record.target_index, sample.target)):
                if (record.clip_key, index) not in pictures:
                    pixels = np.array(Image.open(io.BytesIO(data), formats=SHARD_FORMATS).convert("RGB"))
                    pictures[record.clip_key, index] = torch.from_numpy(pixels).permute(2, 0, 1)
                if len(pictures) == max_pictures:
                    return torch.stack(list(pictures.values()))
    return torch.stack(list(pictures.values()))


def train_autoencoder(pictures: Tensor, plan: AutoencoderPlan, seed: int, echo: Echo) -> AutoencoderKL:
    """Train an autoencoder on images, uint8 [N, 3, H, W]. Its latents have mean 0 and variance 1."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(seed)
    vae = make_autoencoder(plan, pictures.shape[-1])
    module: torch.nn.Module = vae
    module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    num_steps = plan.crop_steps + plan.whole_steps
    optimizer = torch.optim.Adam(vae.parameters(), lr=plan.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.learning_rate, total_steps=num_steps, pct_start=_WARMUP_SHARE, final_div_factor=100
    )
    generator = torch.Generator().manual_seed(seed)
    for step in range(num_steps):
        crops = step < plan.crop_steps
        batch = pictures[
            torch.randint(len(pictures), (plan.crop_batch if crops else plan.whole_batch,), generator=generator)
        ]
        batch = _crop(batch, generator) if crops else batch
        images = (batch.to(device).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        posterior = vae.encode(images).latent_dist
        error = vae.decode(posterior.sample()).sample - images
        loss = error.abs().mean() + error.square().mean()
        optimizer.zero_grad(set_to_none=True)
        (loss + plan.kl_weight * posterior.kl().mean()).backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0 or step + 1 == num_steps:
            echo(f"autoencoder: step {step + 1} of {num_steps}, loss {float(loss.detach()):.4f}")
    module.cpu().eval()
    normalise_latents(vae, pictures[torch.randperm(len(pictures), generator=generator)[:_LATENT_SAMPLES]])
    return vae


def make_autoencoder(plan: AutoencoderPlan, side: int) -> AutoencoderKL:
    """Return an untrained autoencoder for images of `side` pixels. Without attention, it can be trained on crops."""
    return AutoencoderKL(
        block_out_channels=plan.widths,
        down_block_types=("DownEncoderBlock2D",) * len(plan.widths),
        up_block_types=("UpDecoderBlock2D",) * len(plan.widths),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=side,
        scaling_factor=1.0,
        mid_block_add_attention=False,
    )


def normalise_latents(vae: AutoencoderKL, pictures: Tensor) -> None:
    """Scale each latent channel to mean 0 and variance 1 over the images, by changing the weights; decoding stays.

    The scaling factor is then 1, so source and target latents have the same scale.
    """
    with torch.no_grad():
        latents = [vae.encode(part.float() / 127.5 - 1).latent_dist.mean for part in pictures.split(64)]
        mean, std = torch.cat(latents).mean((0, 2, 3)), torch.cat(latents).std((0, 2, 3))
        channels = len(mean)
        encode, decode = vae.quant_conv, vae.post_quant_conv
        # The encoder's last layer outputs mean and log-variance; the decoder's first layer takes the latent.
        encode.weight[:channels] /= std[:, None, None, None]
        encode.bias[:channels] = (encode.bias[:channels] - mean) / std
        encode.bias[channels:] -= 2 * std.log()
        decode.bias += decode.weight[:, :, 0, 0] @ mean
        decode.weight *= std[None, :, None, None]


def measure_psnr(vae: AutoencoderKL, pictures: Tensor) -> float:
    """Return the peak signal-to-noise ratio of reconstructed images, uint8 [N, 3, H, W], in dB."""
    total = 0.0
    with torch.no_grad():
        for part in pictures.split(64):
            images = part.float() / 127.5 - 1
            back = vae.decode(vae.encode(images).latent_dist.mode()).sample.clamp(-1, 1)
            total += float(F.mse_loss(back, images)) * len(part)
    return float(10 * np.log10(4 * len(pictures) / total))


def measure_motion_kept(vae: AutoencoderKL, pairs: list[ValPair]) -> float:
    """Return the Pearson correlation of the pairs' motion with the motion to the reconstructed targets.

    It is an upper bound for any model that uses this autoencoder.
    """
    targets = torch.from_numpy(np.stack([pair.target for pair in pairs])).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        back = [vae.decode(vae.encode(part).latent_dist.mode()).sample.clamp(-1, 1) for part in targets.split(64)]
    frames = ((torch.cat(back) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    measured = [measure_frames(pair.source, [frame])[0] for pair, frame in zip(pairs, frames, strict=True)]
    return float(np.corrcoef([pair.motion_px for pair in pairs], measured)[0, 1])


def _crop(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Crop a random square of 32 pixels from each image of [N, 3, H, W]."""
    num_offsets = pictures.shape[-1] - _CROP_SIDE + 1
    corners = torch.randint(num_offsets, (len(pictures), 2), generator=generator).tolist()
    return torch.stack(
        [picture[:, y : y + _CROP_SIDE, x : x + _CROP_SIDE] for picture, (y, x) in zip(pictures, corners, strict=True)]
    )
