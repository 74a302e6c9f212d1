"""A data set -> its latent cache: what the frozen autoencoder and the tokenizer make of every sample, once.

A task is a shard, so the work spreads over whatever runs tasks; each worker builds the frozen parts once, and encodes
on the GPU that it sees, which is the one that it was given.
"""

import dataclasses
import functools
import io
import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from PIL import Image
from torch import Tensor
from transformers import CLIPTokenizer

from shards.atomic import write_atomically
from shards.location import ReadableLocation
from shards.manifest import ShardEntry, digest, read_manifest
from shards.reader import read_shard
from shards.schema import MANIFEST, Sample
from shards.writer import file_sha256
from training.data.latent_format import (
    LATENTS_MANIFEST,
    LatentManifest,
    LatentRow,
    LatentSplit,
    PairLatents,
    read_latent_manifest,
    write_latent_manifest,
    write_latent_shard,
)
from training.errors import TrainingError
from training.model.latents import Moments, encode_moments
from training.model.text import make_prompt, tokenize
from training.runtime.devices import choose_device
from training.runtime.weights import hash_weights
from training.trainer.config import TrainingConfig
from training.trainer.setup import build_parts

Run = Callable[[Callable[["EncodeTask"], "EncodedShard"], Iterable["EncodeTask"]], Iterator["EncodedShard"]]
"""Runs a function over tasks, in any order: `map`, or the workers of a cluster."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodeTask:
    """One shard to be encoded."""

    split: str
    shard: ReadableLocation
    path: Path
    receipt: Path
    """Where to note what was written, for a run that resumes."""
    plan: str
    """Digest of all that decides the bytes."""
    config: TrainingConfig
    batch: int
    """Samples that pass through the autoencoder at once."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodedShard:
    """One shard of the cache."""

    split: str
    entry: ShardEntry


def choose_workers(asked: int | None, num_gpus: int) -> tuple[int, float]:
    """Return how many workers encode, 0 for this process alone, and how much of a GPU each is given.

    Where none are `asked` for, each GPU has one, and a single GPU, or none, is this process's. Where more are asked
    for than there are GPUs, they share them, as many on each.
    """
    num_workers = asked if asked is not None else num_gpus if num_gpus > 1 else 0
    if not num_workers or not num_gpus:
        return num_workers, 0.0
    return num_workers, 1 / math.ceil(num_workers / num_gpus)


def encode_dataset(
    shards: ReadableLocation,
    out: Path,
    config: TrainingConfig,
    run: Run,
    *,
    batch: int = 16,
    done: Callable[[int], object],
) -> LatentManifest | None:
    """Encode every shard of a finished data set into `out`, mirrored pictures too where `config` flips.

    Tells `done` the samples of each shard as it is ready. Shards of an earlier run that still hash right are kept;
    returns None where the cache is finished already. Raises TrainingError where `out` holds another one.
    """
    manifest = read_manifest(shards)
    resolution = int(manifest.config.get("resolution", 0))
    if not resolution:
        raise TrainingError(f"{shards} holds pictures of several sizes; latents need one resolution")
    vae, _ = _frozen_parts(config)
    about = {
        "dataset_sha256": file_sha256(shards / MANIFEST),
        "vae": config.autoencoder or config.pretrained or f"random {config.random_size}, seed {config.seed}",
        "vae_sha256": hash_weights(vae),
        "has_flips": config.flip,
    }
    if (out / LATENTS_MANIFEST).exists():
        found = read_latent_manifest(out)
        if any(getattr(found, name) != value for name, value in about.items()):
            raise TrainingError(f"{out} holds the latents of another data set or autoencoder; choose another --out")
        return None
    tasks = [
        EncodeTask(
            split=split,
            shard=shards / split / shard.name,
            path=out / split / shard.name.replace(".tar", ".arrow"),
            receipt=out / ".work" / f"{split}-{shard.name}.json",
            plan=digest([about, shard.sha256]),
            config=config,
            batch=batch,
        )
        for split, entry in manifest.splits.items()
        for shard in entry.shards
    ]
    encoded = []
    for one in run(encode_shard, tasks):
        encoded.append(one)
        done(one.entry.num_samples)
    splits = {}
    for split in manifest.splits:
        entries = tuple(sorted((one.entry for one in encoded if one.split == split), key=lambda entry: entry.name))
        splits[split] = LatentSplit(num_samples=sum(entry.num_samples for entry in entries), shards=entries)
    latents = LatentManifest(
        dataset_sha256=str(about["dataset_sha256"]),
        vae=str(about["vae"]),
        vae_sha256=str(about["vae_sha256"]),
        has_flips=config.flip,
        resolution=resolution,
        splits=splits,
    )
    write_latent_manifest(out, latents)
    shutil.rmtree(out / ".work", ignore_errors=True)
    return latents


def encode_shard(task: EncodeTask) -> EncodedShard:
    """Encode one shard, unless an earlier run did; the file appears when it is whole."""
    entry = _finished(task)
    if entry is None:
        vae, tokenizer = _frozen_parts(task.config)
        device = choose_device()
        if device.type == "cuda":  # Convolutions are faster channels last on a GPU.
            vae.to(device, memory_format=torch.channels_last)  # type: ignore[arg-type]  # Wrapped by diffusers.
        samples = list(read_shard(task.shard))
        rows: list[LatentRow] = []
        for first in range(0, len(samples), task.batch):
            rows += _encode_rows(samples[first : first + task.batch], vae, tokenizer, flips=task.config.flip)
        entry = write_latent_shard(task.path, rows)
        with write_atomically(task.receipt) as temporary:
            temporary.write_text(json.dumps({"plan": task.plan, "shard": dataclasses.asdict(entry)}))
    return EncodedShard(split=task.split, entry=entry)


def _finished(task: EncodeTask) -> ShardEntry | None:
    try:
        noted = json.loads(task.receipt.read_text())
        entry = ShardEntry(**noted["shard"])
        sound = noted["plan"] == task.plan and file_sha256(task.path) == entry.sha256
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return entry if sound else None


def _encode_rows(
    samples: list[Sample], vae: AutoencoderKL, tokenizer: CLIPTokenizer, *, flips: bool
) -> list[LatentRow]:
    sources, targets = (
        torch.stack([_decode(getattr(sample, role)) for sample in samples]) for role in ("source", "target")
    )
    plain = _encode_pairs(vae, sources, targets)
    # Mirrored before they are encoded: the autoencoder is not symmetric.
    flipped = _encode_pairs(vae, sources.flip(-1), targets.flip(-1)) if flips else [None] * len(samples)
    prompts = [make_prompt(sample.record.caption, sample.record.motion_px) for sample in samples]
    token_ids = tokenize(tokenizer, prompts).to(torch.int32).numpy()
    return [
        LatentRow(
            key=sample.record.key,
            caption=sample.record.caption,
            motion_px=sample.record.motion_px,
            token_ids=ids,
            plain=one,
            flipped=mirrored,
        )
        for sample, ids, one, mirrored in zip(samples, token_ids, plain, flipped, strict=True)
    ]


def _decode(picture: bytes) -> Tensor:
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


def _encode_pairs(vae: AutoencoderKL, sources: Tensor, targets: Tensor) -> list[PairLatents]:
    """Encode uint8 pictures [B, 3, H, W]; sources to their mode, targets to mean and log-variance."""
    # As bytes to the device, a quarter of what the floats would be.
    source, target = (encode_moments(vae, part.to(vae.device).float() / 127.5 - 1) for part in (sources, targets))
    halves = [part.to(torch.float16).cpu().numpy() for part in (source.mean, *Moments(*target))]
    return [
        PairLatents(source_mode=mode, target_mean=mean, target_logvar=logvar)
        for mode, mean, logvar in zip(*halves, strict=True)
    ]


@functools.lru_cache(maxsize=1)
def _frozen_parts(config: TrainingConfig) -> tuple[AutoencoderKL, CLIPTokenizer]:
    """Build what encodes, once a process, on the CPU."""
    parts = build_parts(config)
    parts.vae.requires_grad_(False).eval()
    return parts.vae, parts.tokenizer
