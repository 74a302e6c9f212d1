"""The latent cache on disk: manifest, schema, shards of latents."""

import contextlib
import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shards.manifest import ShardEntry
from shards.storage.atomic import write_atomically
from shards.storage.location import ReadableLocation
from shards.writer import file_sha256
from training.data.errors import DataError

LATENTS_MANIFEST = "latents.json"
LATENTS_VERSION = 1
TENSORS = ("source_mode", "target_mean", "target_logvar")


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
class LatentSplit:
    """The shards of a split."""

    num_samples: int
    shards: tuple[ShardEntry, ...]


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
    resolution: int
    """Of the pictures, in pixels."""
    has_flips: bool
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Other parameters that can change a byte."""
    splits: dict[str, LatentSplit]


def write_latent_shard(path: Path, rows: Iterable[LatentRow]) -> ShardEntry:
    """Write `rows` to `path`, which appears when it is complete, and return its manifest entry.

    Raises ValueError where rows differ in shape, type or in having flips.
    """
    batch = _to_batch(list(rows))
    with write_atomically(path) as temporary:
        with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
            writer.write_batch(batch)
        return ShardEntry(
            name=path.name,
            num_samples=batch.num_rows,
            num_bytes=temporary.stat().st_size,
            sha256=file_sha256(temporary),
        )


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
        return _parse_manifest(path.read_bytes(), path)
    raise FileNotFoundError(path)


def _parse_manifest(data: bytes, path: ReadableLocation) -> LatentManifest:
    try:
        fields = json.loads(data)
        version = fields["schema_version"]
        if version != LATENTS_VERSION:
            raise DataError(
                f"{path}: schema_version {version}, this software reads {LATENTS_VERSION}; use the one that wrote it"
            )
        known = {field.name: fields[field.name] for field in dataclasses.fields(LatentManifest)}
        return LatentManifest(
            **{**known, "splits": {name: _parse_split(value) for name, value in known["splits"].items()}}
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a manifest of latents: {error!r}") from error


def _parse_split(fields: dict[str, Any]) -> LatentSplit:
    names = [field.name for field in dataclasses.fields(ShardEntry)]
    shards = tuple(ShardEntry(**{name: shard[name] for name in names}) for shard in fields["shards"])
    return LatentSplit(num_samples=fields["num_samples"], shards=shards)
