"""A data set -> its latent cache: encode every sample once with the frozen autoencoder and tokenizer.

A task is one shard, so any worker pool can run them. Each worker loads the frozen parts once and uses the GPU that is
visible to it.
"""

import contextlib
import dataclasses
import functools
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from PIL import Image
from torch import Tensor
from transformers import CLIPTokenizer

from shards.json_fields import parse_fields
from shards.manifest import digest, read_manifest
from shards.pictures import DECODE_ERRORS, SHARD_FORMATS
from shards.reader import read_shard
from shards.schema import MANIFEST, MAX_RECORD_BYTES, SPLITS, Sample
from shards.storage.atomic import remove_temporary_files, write_atomically
from shards.storage.location import ReadableLocation, list_files
from shards.storage.ownership import (
    MARKER,
    OutputKind,
    describe_conflict,
    find_link,
    read_marker,
    read_record,
    write_marker,
)
from shards.writer import file_sha256
from training.data.latent_format import (
    LATENTS_MANIFEST,
    LatentEntry,
    LatentManifest,
    LatentRow,
    LatentSplit,
    PairLatents,
    parse_latent_entry,
    read_latent_manifest,
    write_latent_manifest,
    write_latent_shard,
)
from training.errors import TrainingError
from training.model.latents import Moments, encode_moments
from training.model.text.encoder import make_prompt, tokenize
from training.model.text.tokenizer import hash_tokenizer
from training.runtime.devices import choose_device
from training.runtime.weights import hash_weights
from training.trainer.config import TrainingConfig
from training.trainer.setup import build_parts

MapTasks = Callable[[Callable[["EncodeTask"], "EncodedShard"], Iterable["EncodeTask"]], Iterator["EncodedShard"]]
"""Applies a function to tasks and yields the results in any order: `map`, or that of a worker pool."""

LATENT_CACHE = OutputKind(
    name="latent cache",
    record=LATENTS_MANIFEST,
    fields=frozenset({"schema_version", "dataset_sha256", "vae_sha256", "splits"}),
    entries=frozenset({LATENTS_MANIFEST, ".work", *SPLITS}),
)
_RECORD_NAME = re.compile(rf"({'|'.join(SPLITS)})-\d{{5}}\.tar\.json")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodeTask:
    """One shard to encode."""

    split: str
    shard: ReadableLocation
    path: Path
    """The encoded shard."""
    record: Path
    """Written after the encoded shard, so that a resumed run can skip it."""
    plan: str
    """Digest of all that decides the bytes of the encoded shard."""
    config: TrainingConfig
    batch: int
    """Samples per pass through the autoencoder."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodedShard:
    """One shard of the latent cache."""

    split: str
    entry: LatentEntry


def choose_workers(num_requested: int | None, num_gpus: int) -> tuple[int, float]:
    """Return the number of workers (0 for this process alone) and the share of a GPU for each.

    The default is one worker for each of several GPUs, and this process alone otherwise. More workers than GPUs share
    them evenly. Raises TrainingError for fewer than none.
    """
    if num_requested is not None and num_requested < 0:
        raise TrainingError(f"workers is {num_requested}; it must be 0 or more")
    num_workers = num_requested if num_requested is not None else num_gpus if num_gpus > 1 else 0
    if not num_workers or not num_gpus:
        return num_workers, 0.0
    return num_workers, 1 / math.ceil(num_workers / num_gpus)


def encode_dataset(
    shards: ReadableLocation,
    out: Path,
    config: TrainingConfig,
    map_tasks: MapTasks,
    *,
    batch: int = 16,
    progress: Callable[[int], object],
) -> LatentManifest | None:
    """Encode every shard of a finished data set into `out`, also mirrored if `config.flip`.

    Calls `progress` with the number of samples of each finished shard. Skips shards that an earlier run finished.
    Returns None if the whole cache is finished already. Raises TrainingError if `out` holds a different cache.
    """
    manifest = read_manifest(shards)
    resolution = int(manifest.config.get("resolution", 0))
    if not resolution:
        raise TrainingError(f"{shards} has pictures of several sizes; latents need one resolution")
    if batch < 1:
        raise TrainingError(f"batch is {batch}; it must be 1 or more")
    _check_ownership(out)
    identity = _identify_cache(shards, config)
    if _is_finished(out, identity):
        return None
    write_marker(out / ".work", LATENT_CACHE, [])
    tasks = [
        EncodeTask(
            split=split,
            shard=shards / split / shard.name,
            path=out / split / shard.name.replace(".tar", ".arrow"),
            record=out / ".work" / f"{split}-{shard.name}.json",
            plan=digest([identity, shard.sha256]),
            config=config,
            batch=batch,
        )
        for split, entry in manifest.splits.items()
        for shard in entry.shards
    ]
    entries: dict[str, list[LatentEntry]] = {split: [] for split in manifest.splits}
    for encoded in map_tasks(encode_shard, tasks):
        entries[encoded.split].append(encoded.entry)
        progress(encoded.entry.num_samples)
    splits = {
        split: LatentSplit(
            num_samples=sum(entry.num_samples for entry in shard_entries),
            motion_histogram=manifest.splits[split].motion_histogram,
            shards=tuple(sorted(shard_entries, key=lambda entry: entry.name)),
        )
        for split, shard_entries in entries.items()
    }
    latents = LatentManifest(**identity, resolution=resolution, splits=splits)
    write_latent_manifest(out, latents)
    _clean_up(out, [task.record for task in tasks])
    return latents


def _clean_up(out: Path, records: list[Path]) -> None:
    """Remove what only the run needed, and the temporary files of killed runs."""
    work = out / ".work"
    for split in SPLITS:
        remove_temporary_files(out / split, r"\d{5}\.arrow")
    remove_temporary_files(work, f"{_RECORD_NAME.pattern}|{re.escape(MARKER)}")
    remove_temporary_files(out, re.escape(LATENTS_MANIFEST))
    for path in (*records, work / MARKER):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        work.rmdir()  # Fails unless it is empty.


def _check_ownership(out: Path) -> None:
    """Raise TrainingError if `out` holds something else than a latent cache, finished or begun."""
    work = out / ".work"

    def is_begun() -> bool:
        # Earlier versions wrote no marker.
        records = (path for path in list_files(work, "*.json") if _RECORD_NAME.fullmatch(path.name))
        return read_marker(work, LATENT_CACHE) is not None or any(
            {"plan", "shard"} <= read_record(path).keys() for path in records
        )

    if conflict := describe_conflict(out, LATENT_CACHE, is_begun):
        raise TrainingError(f"--out {out} {conflict}")
    if link := find_link([work, *(out / split for split in SPLITS)]):
        raise TrainingError(f"{link} is a symbolic link; name an --out without links in it")


def _identify_cache(shards: ReadableLocation, config: TrainingConfig) -> dict[str, Any]:
    """Return the fields of the cache's manifest that tell it from other caches."""
    vae, tokenizer = _load_frozen_parts(config)
    return {
        "dataset_sha256": file_sha256(shards / MANIFEST),
        "vae": config.autoencoder or config.pretrained or f"random {config.random_size}, seed {config.seed}",
        "vae_sha256": hash_weights(vae),
        "tokenizer_sha256": hash_tokenizer(tokenizer),
        "has_flips": config.flip,
    }


def _is_finished(out: Path, identity: Mapping[str, Any]) -> bool:
    """Return whether `out` holds this cache, finished. Raises TrainingError if it holds a different one."""
    if not (out / LATENTS_MANIFEST).exists():
        return False
    existing = read_latent_manifest(out)
    if any(getattr(existing, name) != value for name, value in identity.items()):
        raise TrainingError(
            f"{out} holds the latents of another data set, autoencoder or tokenizer; choose another --out"
        )
    return True


def encode_shard(task: EncodeTask) -> EncodedShard:
    """Encode one shard atomically, unless an earlier run finished it."""
    entry = _read_finished_shard(task)
    if entry is None:
        vae, tokenizer = _load_frozen_parts(task.config)
        device = choose_device()
        if device.type == "cuda":  # Convolutions are faster channels last on a GPU.
            vae.to(device, memory_format=torch.channels_last)  # type: ignore[arg-type]  # Wrapped by diffusers.
        samples = list(read_shard(task.shard))
        rows: list[LatentRow] = []
        for first in range(0, len(samples), task.batch):
            rows += _encode_rows(samples[first : first + task.batch], vae, tokenizer, flips=task.config.flip)
        entry = write_latent_shard(task.path, rows)
        with write_atomically(task.record) as temporary:
            temporary.write_text(json.dumps({"plan": task.plan, "shard": dataclasses.asdict(entry)}))
    return EncodedShard(split=task.split, entry=entry)


def _read_finished_shard(task: EncodeTask) -> LatentEntry | None:
    """Return the entry of a shard that an earlier run finished by the same plan; None if there is none."""
    try:
        record = parse_fields(task.record.read_bytes(), MAX_RECORD_BYTES)
        entry = parse_latent_entry(record.part("shard"))
        is_valid = record.text("plan") == task.plan and file_sha256(task.path) == entry.sha256
    except (OSError, ValueError):
        return None
    return entry if is_valid else None


def _encode_rows(
    samples: list[Sample], vae: AutoencoderKL, tokenizer: CLIPTokenizer, *, flips: bool
) -> list[LatentRow]:
    sources, targets = (torch.stack([_decode(sample, role) for sample in samples]) for role in ("source", "target"))
    plain = _encode_pairs(vae, sources, targets)
    # The pictures are mirrored, not the latents: the autoencoder is not symmetric.
    flipped = _encode_pairs(vae, sources.flip(-1), targets.flip(-1)) if flips else [None] * len(samples)
    prompts = [make_prompt(sample.record.caption, sample.record.motion_px) for sample in samples]
    token_ids = tokenize(tokenizer, prompts).to(torch.int32).numpy()
    return [
        LatentRow(
            key=sample.record.key,
            caption=sample.record.caption,
            motion_px=sample.record.motion_px,
            token_ids=ids,
            plain=latents,
            flipped=mirrored,
        )
        for sample, ids, latents, mirrored in zip(samples, token_ids, plain, flipped, strict=True)
    ]


def _decode(sample: Sample, role: Literal["source", "target"]) -> Tensor:
    try:
        with Image.open(io.BytesIO(getattr(sample, role)), formats=SHARD_FORMATS) as image:
            pixels = np.asarray(image.convert("RGB"))
    except DECODE_ERRORS as error:
        raise TrainingError(f"the {role} of sample {sample.record.key} cannot be decoded ({error})") from error
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


def _encode_pairs(vae: AutoencoderKL, sources: Tensor, targets: Tensor) -> list[PairLatents]:
    """Encode pictures, uint8 [B, 3, H, W]: sources to the posterior's mode, targets to its mean and log-variance."""
    # Copied to the device as bytes, a quarter of the size of floats.
    source, target = (encode_moments(vae, part.to(vae.device).float() / 127.5 - 1) for part in (sources, targets))
    halves = [part.to(torch.float16).cpu().numpy() for part in (source.mean, *Moments(*target))]
    return [
        PairLatents(source_mode=mode, target_mean=mean, target_logvar=logvar)
        for mode, mean, logvar in zip(*halves, strict=True)
    ]


@functools.lru_cache(maxsize=1)
def _load_frozen_parts(config: TrainingConfig) -> tuple[AutoencoderKL, CLIPTokenizer]:
    """Load the autoencoder and the tokenizer once for each process, on the CPU."""
    parts = build_parts(config)
    parts.vae.requires_grad_(False).eval()
    return parts.vae, parts.tokenizer
