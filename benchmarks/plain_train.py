"""A training step in the style of diffusers' example scripts: the baseline of `benchmarks.training_step`.

It has the trainer's model, loss and data. Pictures are decoded by Pillow in the loader's worker processes and encoded
in every step. Frozen parts are cast and the model runs under autocast. Nothing is compiled, fused or channels-last,
there is no prefetch, and the loss is read after every step.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers.training_utils import EMAModel
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from shards.manifest import read_manifest
from shards.reader import read_shard
from shards.schema import Sample
from training.model.latents import encode_moments, encode_source, sample_target
from training.model.losses import drop_conditions, mean_squared_error, total_loss
from training.model.text.encoder import encode_null_text, encode_text, make_prompt, tokenize
from training.trainer.config import TrainingConfig
from training.trainer.setup import build_parts, load_perceptual

Item = tuple[Tensor, Tensor, str, float]


class Pairs(Dataset[Item]):
    """All pairs of the train split: encoded in memory, decoded on access."""

    def __init__(self, folder: Path) -> None:
        shards = read_manifest(folder).splits["train"].shards
        self._samples: list[Sample] = [one for shard in shards for one in read_shard(folder / "train" / shard.name)]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, number: int) -> Item:
        sample = self._samples[number]
        source, target = (_decode(picture) for picture in (sample.source, sample.target))
        return source, target, sample.record.caption, sample.record.motion_px


def _decode(picture: bytes) -> Tensor:
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), dtype=np.float32)
    return torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1).contiguous()


def plain_steps(config: TrainingConfig, folder: Path, device: torch.device) -> Iterator[float]:
    """Train without end; yield the loss after each step of `config.micro_batch` samples."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "no": torch.float32}[config.precision]
    torch.manual_seed(config.seed)
    perceptual = load_perceptual(config, print)
    parts = build_parts(config)
    model = parts.model.to(device).train()
    parts.vae.to(device, dtype)  # type: ignore[arg-type]  # Wrapped by diffusers.
    parts.text_encoder.to(device, dtype)  # type: ignore[arg-type]  # Wrapped by transformers.
    if perceptual is not None:
        perceptual.to(device)
    null_embeds = encode_null_text(parts.tokenizer, parts.text_encoder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    ema = EMAModel(model.parameters(), decay=config.ema_decay)
    pairs = DataLoader(
        Pairs(folder), batch_size=config.micro_batch, shuffle=True, drop_last=True, num_workers=config.num_workers
    )
    while True:
        for source, target, captions, motion in pairs:
            prompts = [make_prompt(caption, float(px)) for caption, px in zip(captions, motion, strict=True)]
            token_ids = tokenize(parts.tokenizer, prompts).to(device)
            source_latent = encode_source(parts.vae, source.to(device)).float()
            moments = encode_moments(parts.vae, target.to(device))
            z_0 = sample_target(moments, torch.randn_like(moments.mean), parts.vae.config["scaling_factor"]).float()
            noise = torch.randn_like(z_0)
            timesteps = torch.randint(0, parts.scheduler.config["num_train_timesteps"], (len(z_0),), device=device)
            noisy = parts.scheduler.add_noise(z_0, noise, timesteps)  # type: ignore[arg-type]
            text = encode_text(parts.text_encoder, token_ids).float()
            conditions = drop_conditions(torch.rand(len(z_0), device=device), text, null_embeds, source_latent)
            with torch.autocast(device.type, dtype, enabled=config.precision != "no"):
                predicted = model(
                    noisy, timesteps, conditions.source_latent, conditions.text_embeds, motion.float().to(device)
                )
            compared = None
            if perceptual is not None:
                compared = perceptual(predicted.warped.float(), conditions.source_latent)
            loss = total_loss(mean_squared_error(predicted.noise, noise), compared).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm or float("inf"))
            optimizer.step()
            optimizer.zero_grad()
            ema.step(model.parameters())
            yield loss.item()
