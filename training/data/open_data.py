"""A location -> a split that was looked at and found to hold, whatever form its samples have.

What can be told of a data set before the first batch is told here, in one sentence.
"""

import dataclasses
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from shards.errors import DatasetError
from shards.manifest import Manifest, ShardEntry, read_manifest
from shards.schema import MANIFEST
from shards.verify import verify_dataset
from shards.writer import file_sha256
from training.data.batch import Batch, LatentBatch
from training.data.byte_source import Storage
from training.data.config import DataConfig
from training.data.errors import DamageError, DataError
from training.data.latent_format import LATENTS_MANIFEST, LatentManifest, parse_latent_manifest
from training.data.latent_source import LatentSource
from training.data.order import draw_replacement
from training.data.picture_source import PictureSource
from training.data.s3_storage import S3Storage
from training.data.shard_cache import ShardFiles, not_the_manifests, user_cache
from training.data.shared_memory import Room
from training.data.storage import open_storage

MAX_REPLACEMENTS = 64
"""Damaged samples in a row at one position after which the data are given up."""


class Source(Protocol):
    """Samples by number, in one of the two forms."""

    @property
    def shard_sizes(self) -> tuple[int, ...]:
        """Samples of each shard, in the manifest's order."""
        ...

    def read(self, sample: int) -> Any:
        """Read one. Raises DamageError or another DataError."""
        ...

    def collate(
        self,
        rows: Iterable[Any],
        *,
        positions: NDArray[np.int64],
        flipped: NDArray[np.bool_],
        damages: Sequence[DamageError],
        room: Room | None = None,
    ) -> Batch | LatentBatch:
        """Make a batch of what was read, its pictures in `room` if there is one."""
        ...

    def room_bytes(self, num_samples: int) -> int:
        """Say how large a room must be; 0 where none is wanted."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class OpenData:
    """A split that was looked at and found to hold."""

    kind: Literal["pictures", "latents"]
    source: Source
    resolution: tuple[int, int]
    """(height, width) of the pictures, in pixels."""
    manifest: Manifest | LatentManifest
    is_fork_safe: bool
    """Whether a process that read from here may fork and the child read too."""


def open_data(config: DataConfig) -> OpenData:
    """Look at a location, by its manifest a data set or a latent cache, and check what can be checked at once.

    Raises DataError, one sentence: where there is no manifest, a shard is missing or of another size, the split is
    empty, or the pictures have another resolution than `config` expects.
    """
    storage = open_storage(config.location, s3_endpoint=config.s3_endpoint)
    files = ShardFiles(storage=storage, split=config.split, cache=config.cache)
    fork_safe = not isinstance(storage, S3Storage)
    try:
        latents = storage.read_whole(LATENTS_MANIFEST)
    except FileNotFoundError:
        manifest = _read_manifest(storage)
        source = PictureSource(files, _entries(config, manifest), _index_folder(config))
        if config.verify == "full" and not storage.is_remote:
            _verify_all(config)
        size = _first_size(source, skip=config.on_damage == "skip")
        _expect(config, size)
        source.size = size
        return OpenData(kind="pictures", source=source, resolution=size, manifest=manifest, is_fork_safe=fork_safe)
    found = parse_latent_manifest(latents, storage.path_of(LATENTS_MANIFEST))
    entries = _entries(config, found)
    _expect(config, (found.resolution, found.resolution))
    if config.flip and not found.has_flips:
        raise DataError(f"{config.location}: holds no flipped latents; encode with flips, or train without flip")
    if not files.are_local:
        raise DataError(f"{config.location}: latents are mapped into memory; set cache to a folder where they are kept")
    if config.verify == "full" and not storage.is_remote:
        for entry in entries:
            if file_sha256(files.local_path(entry)) != entry.sha256:
                raise not_the_manifests(files.path_of(entry), entry)
    return OpenData(
        kind="latents",
        source=LatentSource(files, entries),
        resolution=(found.resolution, found.resolution),
        manifest=found,
        is_fork_safe=fork_safe,
    )


def _read_manifest(storage: Storage) -> Manifest:
    """Read dataset.json wherever it lies."""
    try:
        if not storage.is_remote:
            return read_manifest(Path(storage.location))
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, MANIFEST).write_bytes(storage.read_whole(MANIFEST))
            try:
                return read_manifest(Path(folder))
            except DatasetError as error:
                raise DataError(str(error).replace(folder, storage.location)) from error
    except FileNotFoundError:
        raise DataError(f"{storage.location}: no {MANIFEST}, so no finished data set") from None
    except DatasetError as error:
        raise DataError(str(error)) from error


def _entries(config: DataConfig, manifest: Manifest | LatentManifest) -> tuple[ShardEntry, ...]:
    """Give the split's shards, which are there; a shard without samples is no part of any order."""
    split = manifest.splits.get(config.split)
    if split is None or not split.num_samples:
        others = ", ".join(name for name, entry in manifest.splits.items() if entry.num_samples) or "none"
        raise DataError(f"{config.location}: no samples in split {config.split!r}; those with samples: {others}")
    if sum(entry.num_samples for entry in split.shards) != split.num_samples:
        raise DataError(f"{config.location}: the manifest's shards do not add up to the samples of {config.split}")
    if "://" not in config.location:
        for entry in split.shards:
            path = Path(config.location, config.split, entry.name)
            if not path.is_file():
                raise DataError(f"{path}: missing, though the manifest names it")
            if path.stat().st_size != entry.num_bytes:
                raise DataError(f"{path}: {path.stat().st_size:,} bytes, the manifest tells {entry.num_bytes:,}")
    return tuple(entry for entry in split.shards if entry.num_samples)


def _verify_all(config: DataConfig) -> None:
    try:
        verify_dataset(Path(config.location))
    except DatasetError as error:
        raise DataError(str(error)) from error


def _index_folder(config: DataConfig) -> Path:
    return (config.cache or user_cache()) / "index"


def _first_size(source: PictureSource, *, skip: bool) -> tuple[int, int]:
    """Decode the first sample, or if it is damaged another, and give its (height, width). Raises DamageError."""
    problem: DamageError | None = None
    for attempt in range(MAX_REPLACEMENTS):
        sample = draw_replacement(0, 0, attempt, sum(source.shard_sizes)) if attempt else 0
        try:
            height, width, _ = source.read(sample).source.shape
        except DamageError as error:
            problem = problem or error
            if not skip:
                break
        else:
            source.close()
            return height, width
    assert problem is not None, "a size was found, or a reason why not"  # noqa: S101 # For the type checker.
    raise problem


def _expect(config: DataConfig, size: tuple[int, int]) -> None:
    if config.resolution is not None and size != (config.resolution, config.resolution):
        side = config.resolution
        raise DataError(
            f"{config.location}: made at {size[1]} x {size[0]} pixels, but {side} x {side} are expected; "
            f"curate it anew with --resolution {side}"
        )
