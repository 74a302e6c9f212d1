"""The latent cache on disk: manifest, schema, shards of latents."""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shards.json_fields import Fields, parse_fields
from shards.manifest import (
    MAX_MANIFEST_BYTES,
    SPLIT_NAME,
    MotionHistogram,
    ShardEntry,
    parse_motion_histogram,
    parse_shard_entry,
)
from shards.storage.atomic import write_atomically
from shards.storage.location import ReadableLocation, read_at_most
from shards.writer import file_sha256
from training.data.errors import DataError

LATENTS_MANIFEST = "latents.json"
LATENTS_VERSION = 1
TENSORS = ("source_mode", "target_mean", "target_logvar")
_ARROW_NAME = re.compile(r"(?:[0-9]{5}|[1-9][0-9]{5})\.arrow")

Latent = NDArray[np.float16]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairLatents:
    """The autoencoder's output for one pair, not scaled."""

    source_mode: Latent
    """float16 [4, h, w]."""
    target_mean: Latent
    """float16 [4, h, w]."""
    target_logvar: Latent
    """float16 [4, h, w]."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentRow:
    """One sample of the cache."""

    key: str
    caption: str
    motion_px: float
    token_ids: NDArray[np.int32]
    """int32 [L]."""
    plain: PairLatents
    """Of the pair, not mirrored."""
    flipped: PairLatents | None = None
    """Of the pair mirrored left to right; all rows of a cache have it, or none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentEntry(ShardEntry):
    """A shard of latents, and the hash of its frame: everything but the values of the latents.

    A reader can check the frame in a millisecond, and nothing in the values can mislead it. Caches of earlier versions
    have no frame: their shards are hashed whole.
    """

    values_start: int = 0
    values_end: int = 0
    """Offsets in the file of the first byte of the latents' values and of the one after the last."""
    frame_sha256: str | None = None
    """SHA-256 of the bytes before and after the values."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentSplit:
    """The shards of a split."""

    num_samples: int
    motion_histogram: MotionHistogram | None = None
    """That of the data set's split; None in caches of earlier versions."""
    shards: tuple[LatentEntry, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentManifest:
    """The contents of latents.json."""

    schema_version: int = LATENTS_VERSION
    dataset_sha256: str
    """SHA-256 of dataset.json."""
    vae: str
    """Name or path of the autoencoder."""
    vae_sha256: str
    """SHA-256 of its weights."""
    tokenizer_sha256: str | None = None
    """SHA-256 of the tokenizer and of the form of prompts; None in caches of earlier versions."""
    resolution: int
    """Of the pictures, in pixels."""
    has_flips: bool
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Other parameters that can change a byte."""
    splits: dict[str, LatentSplit]


def write_latent_shard(path: Path, rows: Iterable[LatentRow]) -> LatentEntry:
    """Write `rows` to `path`, which appears when it is complete, and return its manifest entry.

    Raises ValueError where rows differ in shape, type or in having flips.
    """
    batch = _to_batch(list(rows))
    with write_atomically(path) as temporary:
        with pa.OSFile(os.fsencode(temporary), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
            writer.write_batch(batch)
        start, end = _find_values(temporary)
        return LatentEntry(
            name=path.name,
            num_samples=batch.num_rows,
            num_bytes=temporary.stat().st_size,
            sha256=file_sha256(temporary),
            values_start=start,
            values_end=end,
            frame_sha256=hash_frame(temporary, start, end),
        )


def _find_values(path: Path) -> tuple[int, int]:
    """Return the offsets of the latents' values, which are the last columns of a shard that was just written."""
    with pa.memory_map(os.fsencode(path)) as file:
        data = file.read_buffer()
    batch = pa.ipc.open_file(data).get_batch(0)
    values = [batch[name].flatten().buffers()[1] for name in batch.schema.names if name.endswith(TENSORS)]
    return values[0].address - data.address, values[-1].address + values[-1].size - data.address


def hash_frame(path: Path, start: int, end: int) -> str:
    """Return the SHA-256 of a file without the bytes from `start` to `end`."""
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        hashed.update(file.read(start))
        file.seek(end)
        hashed.update(file.read())
    return hashed.hexdigest()


def _to_batch(rows: list[LatentRow]) -> pa.RecordBatch:
    if not rows:
        raise ValueError("a latent shard needs at least one sample")
    has_flips = rows[0].flipped is not None
    if any((row.flipped is not None) != has_flips for row in rows):
        raise ValueError("all rows of a latent shard have flips, or none")
    columns = {
        "key": pa.array([row.key for row in rows], pa.string()),
        "caption": pa.array([row.caption for row in rows], pa.string()),
        "motion_px": pa.array([row.motion_px for row in rows], pa.float32()),
        "token_ids": _to_column([row.token_ids for row in rows], np.int32),
    }
    shapes = {}
    for prefix in ("", "flipped_") if has_flips else ("",):
        for name in TENSORS:
            arrays = [getattr(row.flipped if prefix else row.plain, name) for row in rows]
            columns[prefix + name] = _to_column(arrays, np.float16)
            shapes[prefix + name] = arrays[0].shape
    if len(set(shapes.values())) != 1:
        raise ValueError(f"latents of a pair differ in shape: {shapes}")
    metadata = {"latent_shape": json.dumps(rows[0].plain.source_mode.shape)}
    return pa.record_batch(columns).replace_schema_metadata(metadata)


def _to_column(arrays: list[NDArray[Any]], dtype: type) -> pa.FixedSizeListArray:
    if any(array.dtype != dtype for array in arrays):
        raise ValueError(f"an array is not of type {np.dtype(dtype)}")
    stacked = np.stack(arrays).reshape(len(arrays), -1)
    return pa.FixedSizeListArray.from_arrays(pa.array(stacked.ravel()), stacked.shape[1])


def write_latent_manifest(out: Path, manifest: LatentManifest) -> None:
    """Write OUT/latents.json, after all shards."""
    with write_atomically(out / LATENTS_MANIFEST) as temporary:
        text = json.dumps(dataclasses.asdict(manifest), indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_latent_manifest(out: ReadableLocation) -> LatentManifest:
    """Read OUT/latents.json. Raises FileNotFoundError, or DataError where it is damaged or of another version."""
    path = out / LATENTS_MANIFEST
    with contextlib.suppress(NotADirectoryError):
        return _parse_manifest(read_at_most(path, MAX_MANIFEST_BYTES + 1), path)
    raise FileNotFoundError(path)


def _parse_manifest(data: bytes, path: ReadableLocation) -> LatentManifest:
    try:
        fields = parse_fields(data, MAX_MANIFEST_BYTES)
        version = fields.count("schema_version")
        if version != LATENTS_VERSION:
            raise DataError(
                f"{path}: schema_version {version}, this software reads {LATENTS_VERSION}; use the one that wrote it"
            )
        splits = fields.part("splits")
        splits.check_names(SPLIT_NAME, "train, val or test")
        return LatentManifest(
            dataset_sha256=fields.sha256("dataset_sha256"),
            vae=fields.text("vae"),
            vae_sha256=fields.sha256("vae_sha256"),
            tokenizer_sha256=fields.sha256("tokenizer_sha256") if "tokenizer_sha256" in fields else None,
            resolution=fields.count("resolution"),
            has_flips=fields.flag("has_flips"),
            config=fields.part("config").values,
            splits={name: _parse_split(splits.part(name)) for name in splits.values},
        )
    except ValueError as error:
        raise DataError(f"{path}: not a manifest of latents: {error}") from error


def _parse_split(fields: Fields) -> LatentSplit:
    shards = tuple(parse_latent_entry(shard) for shard in fields.parts("shards"))
    histogram = parse_motion_histogram(fields.part("motion_histogram")) if "motion_histogram" in fields else None
    return LatentSplit(num_samples=fields.count("num_samples"), motion_histogram=histogram, shards=shards)


def parse_latent_entry(fields: Fields) -> LatentEntry:
    """Parse the entry of a shard. Raises FieldError."""
    entry = vars(parse_shard_entry(fields, _ARROW_NAME, "00000.arrow"))
    if "frame_sha256" not in fields:
        return LatentEntry(**entry)
    return LatentEntry(
        **entry,
        values_start=fields.count("values_start", most=entry["num_bytes"]),
        values_end=fields.count("values_end", most=entry["num_bytes"]),
        frame_sha256=fields.sha256("frame_sha256"),
    )
