"""Data sets for the loader's tests, and shortcuts to read them."""

import dataclasses
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shards.manifest import Manifest, read_manifest, write_manifest
from shards.reader import read_shard
from shards.writer import shard_name, write_shard
from training.data import BatchStream, DataConfig
from training.data.latent_format import (
    LatentManifest,
    LatentRow,
    LatentSplit,
    PairLatents,
    write_latent_manifest,
    write_latent_shard,
)

SIZES = (1, 30, 17, 42, 20)
"""Samples per shard, 110 in total."""


def cut(dataset: Path, out: Path, sizes: Sequence[int] = SIZES) -> Path:
    """Write the train split of a data set in shards of other sizes."""
    manifest = read_manifest(dataset)
    split = manifest.splits["train"]
    samples = (sample for shard in split.shards for sample in read_shard(dataset / "train" / shard.name))
    entries = []
    for number, size in enumerate(sizes):
        chosen = [next(samples) for _ in range(size)]
        entries.append(write_shard(out / "train" / shard_name(number), chosen))
    write_split(out, manifest, shards=tuple(entries), num_samples=sum(sizes))
    return out


def write_split(out: Path, manifest: Manifest, **changes: Any) -> None:
    """Write a manifest with changes to its train split."""
    train = dataclasses.replace(manifest.splits["train"], **changes)
    write_manifest(out, dataclasses.replace(manifest, splits={**manifest.splits, "train": train}))


def copy(folder: Path, to: Path) -> Path:
    """Copy a data set, so that a test can change it."""
    return Path(shutil.copytree(folder, to))


def config(location: Path | str, **changes: Any) -> DataConfig:
    """Return a config with small batches."""
    fields = {"location": str(location), "seed": 3, "global_batch": 8, "micro_batch": 4, "num_workers": 0}
    return DataConfig(**{**fields, **changes})


def batches(location: Path | str, num_steps: int, *, start: int = 0, rank: int = 0, ranks: int = 1, **changes: Any):
    """Return the micro-batches of some steps."""
    stream = BatchStream(
        config(location, **changes), rank=rank, world_size=ranks, start_position=start, num_steps=num_steps
    )
    with stream:
        return list(stream)


def keys(of: Iterable[Any]) -> list[str]:
    """Return the keys of all batches in order."""
    return [key for batch in of for key in batch.keys]


def same(first: Any, second: Any) -> bool:
    """Return whether two batches are equal in every field."""
    pairs = [(getattr(first, field.name), getattr(second, field.name)) for field in dataclasses.fields(first)]
    return type(first) is type(second) and all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else str(a) == str(b) for a, b in pairs
    )


def are_same(first: Iterable[Any], second: Iterable[Any]) -> bool:
    """Return whether two sequences of batches are equal."""
    return all(same(a, b) for a, b in zip(first, second, strict=True))


def latent_row(key: str, number: int, *, has_flips: bool = True) -> LatentRow:
    """Make a random sample of a latent cache."""
    rng = np.random.default_rng(number)

    def pair() -> PairLatents:
        draws = rng.standard_normal((3, 4, 8, 8)).astype(np.float16)
        return PairLatents(source_mode=draws[0], target_mean=draws[1], target_logvar=draws[2])

    return LatentRow(
        key=key,
        caption=f"caption of {key}",
        motion_px=number / 8,
        token_ids=rng.integers(0, 49408, 77, dtype=np.int32),
        plain=pair(),
        flipped=pair() if has_flips else None,
    )


def write_latents(dataset: Path, out: Path, *, has_flips: bool = True) -> Path:
    """Write a random latent cache with the keys of a data set in the same order."""
    entries, number = [], 0
    for shard in read_manifest(dataset).splits["train"].shards:
        rows = []
        for sample in read_shard(dataset / "train" / shard.name):
            rows.append(latent_row(sample.record.key, number, has_flips=has_flips))
            number += 1
        entries.append(write_latent_shard(out / "train" / f"{Path(shard.name).stem}.arrow", rows))
    split = LatentSplit(num_samples=number, shards=tuple(entries))
    manifest = LatentManifest(
        dataset_sha256="d" * 64,
        vae="drawn",
        vae_sha256="e" * 64,
        resolution=64,
        has_flips=has_flips,
        splits={"train": split},
    )
    write_latent_manifest(out, manifest)
    return out
