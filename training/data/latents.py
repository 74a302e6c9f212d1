"""The latent cache: what the autoencoder and the tokenizer made of a data set, read in place of its pictures.

::

    OUT/
      latents.json            the manifest, written last
      train/00000.arrow ...   one file a source shard, its samples in the same order; likewise val/, test/

A file is Arrow IPC with one record batch, not compressed, so that a row is read where it lies in memory. h, w: the
resolution divided by 8. L: tokens of a prompt, 77.
"""

import collections
import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from shards.atomic import write_atomically
from shards.manifest import ShardEntry
from shards.writer import file_sha256
from training.data.batch import LatentBatch
from training.data.cache import ShardFiles
from training.data.errors import DamageError, DataError

LATENTS_MANIFEST = "latents.json"
LATENTS_VERSION = 1
MAX_OPEN = 128
_TENSORS = ("source_mode", "target_mean", "target_logvar")

Latent = NDArray[np.float16]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairLatents:
    """What the autoencoder says of one pair; nothing is scaled."""

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
    """Of the pair as it is."""
    flipped: PairLatents | None = None
    """Of the pair mirrored, left to right; all rows of a cache have it or none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentSplit:
    """What a split holds."""

    num_samples: int
    shards: tuple[ShardEntry, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentManifest:
    """All of latents.json."""

    schema_version: int = LATENTS_VERSION
    dataset_sha256: str
    """Of the bytes of dataset.json."""
    vae: str
    """Name or path of the autoencoder."""
    vae_sha256: str
    """Of its weights."""
    resolution: int
    """Of the pictures, in pixels."""
    has_flips: bool
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Whatever else made the bytes what they are."""
    splits: dict[str, LatentSplit]


def write_latent_shard(path: Path, rows: Iterable[LatentRow]) -> ShardEntry:
    """Write `rows` to `path`, which appears when it is whole; returns its line of the manifest.

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
        raise ValueError("a latent shard holds one sample at least")
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
        for name in _TENSORS:
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
    """Write OUT/latents.json, last of all."""
    with write_atomically(out / LATENTS_MANIFEST) as temporary:
        text = json.dumps(dataclasses.asdict(manifest), indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def parse_latent_manifest(data: bytes, path: str) -> LatentManifest:
    """Parse latents.json, which came from `path`. Raises DataError where it is damaged or of another version."""
    try:
        fields = json.loads(data)
        version = fields["schema_version"]
        if version != LATENTS_VERSION:
            raise DataError(
                f"{path}: schema_version {version}, this software reads {LATENTS_VERSION}; use the one that wrote it"
            )
        known = {field.name: fields[field.name] for field in dataclasses.fields(LatentManifest)}
        return LatentManifest(
            **{**known, "splits": {name: _to_split(value) for name, value in known["splits"].items()}}
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a manifest of latents: {error!r}") from error


def read_latent_manifest(out: Path) -> LatentManifest:
    """Read OUT/latents.json. Raises DataError."""
    path = out / LATENTS_MANIFEST
    try:
        return parse_latent_manifest(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise DataError(f"{out}: no {LATENTS_MANIFEST}, so no finished latent cache") from None


def _to_split(fields: dict[str, Any]) -> LatentSplit:
    names = [field.name for field in dataclasses.fields(ShardEntry)]
    shards = tuple(ShardEntry(**{name: shard[name] for name in names}) for shard in fields["shards"])
    return LatentSplit(num_samples=fields["num_samples"], shards=shards)


class LatentShard:
    """A shard of the cache, mapped into memory."""

    def __init__(self, path: Path, entry: ShardEntry, label: str | None = None) -> None:
        label = label or str(path)
        try:
            with pa.ipc.open_file(pa.memory_map(str(path))) as reader:
                batch = reader.get_batch(0)
                shape = tuple(json.loads(batch.schema.metadata[b"latent_shape"]))
            self._keys, self._captions = batch["key"], batch["caption"]
            self._motion_px = batch["motion_px"].to_numpy()
            self._token_ids = _to_rows(batch["token_ids"])
            columns = {name: _to_rows(batch[name]).reshape(-1, *shape) for name in batch.schema.names[4:]}
            self._plain = [columns[name] for name in _TENSORS]
            self._flipped = [columns["flipped_" + name] for name in _TENSORS if "flipped_" + name in columns]
        except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
            raise DamageError(label, f"cannot be read as latents ({type(error).__name__})") from error
        if len(self._motion_px) != entry.num_samples:
            raise DamageError(label, f"{len(self._motion_px)} samples, the manifest tells {entry.num_samples}")

    def __len__(self) -> int:
        return len(self._motion_px)

    def row(self, place: int) -> LatentRow:
        """Give a sample; its arrays are views of the file."""
        return LatentRow(
            key=self._keys[place].as_py(),
            caption=self._captions[place].as_py(),
            motion_px=float(self._motion_px[place]),
            token_ids=self._token_ids[place],
            plain=_pair(self._plain, place),
            flipped=_pair(self._flipped, place) if self._flipped else None,
        )


def _pair(columns: list[Latent], place: int) -> PairLatents:
    source_mode, target_mean, target_logvar = (column[place] for column in columns)
    return PairLatents(source_mode=source_mode, target_mean=target_mean, target_logvar=target_logvar)


def _to_rows(column: pa.FixedSizeListArray) -> NDArray[Any]:
    values: NDArray[Any] = column.flatten().to_numpy(zero_copy_only=True)
    return values.reshape(len(column), -1)


def read_latent_shard(path: Path, entry: ShardEntry) -> list[LatentRow]:
    """Read all rows of a shard. Raises DamageError."""
    shard = LatentShard(path, entry)
    return [shard.row(place) for place in range(len(shard))]


class LatentSource:
    """The samples of a split by their numbers. Can be sent to a worker before anything was read."""

    def __init__(self, files: ShardFiles, entries: Sequence[ShardEntry]) -> None:
        self.shard_sizes = tuple(entry.num_samples for entry in entries)
        self._files = files
        self._entries = tuple(entries)
        self._ends = np.cumsum(self.shard_sizes)
        self._open: collections.OrderedDict[int, LatentShard] = collections.OrderedDict()

    def read(self, sample: int) -> LatentRow:
        """Read one sample. Raises DamageError or StorageError."""
        shard = int(np.searchsorted(self._ends, sample, side="right"))
        return self._opened(shard).row(sample - int(self._ends[shard]) + self.shard_sizes[shard])

    def collate(
        self,
        rows: Iterable[LatentRow],
        *,
        positions: NDArray[np.int64],
        flipped: NDArray[np.bool_],
        damages: Sequence[DamageError],
        room: NDArray[np.uint8] | None = None,
    ) -> LatentBatch:
        """Make a batch, of the mirrored pairs where `flipped`; it needs no room."""
        rows = list(rows)
        pairs = [row.flipped if flip else row.plain for row, flip in zip(rows, flipped.tolist(), strict=True)]
        tensors = {name: torch.from_numpy(np.stack([getattr(pair, name) for pair in pairs])) for name in _TENSORS}
        return LatentBatch(
            keys=[row.key for row in rows],
            captions=[row.caption for row in rows],
            motion_px=torch.tensor([row.motion_px for row in rows], dtype=torch.float32),
            token_ids=torch.from_numpy(np.stack([row.token_ids for row in rows]).astype(np.int64)),
            positions=torch.from_numpy(positions),
            flipped=torch.from_numpy(flipped),
            damages=tuple(damages),
            **tensors,
        )

    def room_bytes(self, num_samples: int) -> int:
        """Say what room a batch needs: none, it is small enough for a message."""
        return 0

    def _opened(self, shard: int) -> LatentShard:
        if shard in self._open:
            self._open.move_to_end(shard)
        else:
            while len(self._open) >= MAX_OPEN:
                self._open.popitem(last=False)
            entry = self._entries[shard]
            self._open[shard] = LatentShard(self._files.local_path(entry), entry, self._files.path_of(entry))
        return self._open[shard]
