"""A location -> a split that was checked, of a data set or a latent cache.

Whatever can be checked before the first batch is checked here.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from shards.manifest import Manifest, read_manifest
from shards.schema import MANIFEST
from shards.storage.location import ObjectPath, parse_readable_location, user_cache_folder
from shards.verification.dataset import verify_dataset
from shards.writer import file_sha256
from training.data.batch import Batch, LatentBatch
from training.data.config import DataConfig
from training.data.errors import DamageError, DataError, raise_data_errors
from training.data.latent_format import LatentManifest, read_latent_manifest
from training.data.latent_source import LatentSource
from training.data.order import draw_replacement
from training.data.picture_source import PictureSource
from training.data.shard_cache import ShardFiles, check_sha256

MAX_REPLACEMENTS = 64
"""Damaged samples in a row at one position after which reading fails."""


class Source(Protocol):
    """Samples by number: pictures or latents."""

    @property
    def shard_sizes(self) -> tuple[int, ...]:
        """Number of samples of each shard, in the manifest's order."""
        ...

    def read(self, sample: int) -> Any:
        """Read a sample. Raises DamageError, or another DataError."""
        ...

    def collate(
        self,
        rows: Iterable[Any],
        *,
        positions: NDArray[np.int64],
        flipped: NDArray[np.bool_],
        damages: Sequence[DamageError],
        buffer: NDArray[np.uint8] | None = None,
    ) -> Batch | LatentBatch:
        """Make a batch of rows that were read, its pictures in `buffer` if there is one."""
        ...

    def num_picture_bytes(self, num_samples: int) -> int:
        """Return the size of a batch's pictures; 0 where it needs no buffer."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class OpenData:
    """A split that was checked."""

    kind: Literal["pictures", "latents"]
    source: Source
    resolution: tuple[int, int]
    """(height, width) of the pictures, in pixels."""
    manifest: Manifest | LatentManifest
    motion_range: tuple[int, int] | None
    """Lowest and highest motion of the split, cut to whole pixels; None if the manifest does not say."""
    dataset_sha256: str
    """SHA-256 of the data set's manifest, dataset.json; of latents, that of the data set that was encoded."""
    is_fork_safe: bool
    """Whether a process that read from the location may fork and the child read too."""


def open_data(config: DataConfig) -> OpenData:
    """Open a data set or a latent cache, whichever manifest there is, and check it.

    Raises DataError where there is no manifest, a shard is missing or of another size, the split is empty, or the
    pictures have another resolution than `config` expects.
    """
    with raise_data_errors(config.location):
        location = parse_readable_location(config.location)
        files = ShardFiles(location=location, split=config.split, cache=config.cache)
        try:
            latents = read_latent_manifest(location)
        except FileNotFoundError:
            return _open_pictures(config, files, read_manifest(location))
    return _open_latents(config, files, latents)


def _open_pictures(config: DataConfig, files: ShardFiles, manifest: Manifest) -> OpenData:
    source = PictureSource(
        files, _find_shards(config, files, manifest), (config.cache or user_cache_folder()) / "index"
    )
    if config.verify == "full" and isinstance(files.location, Path):
        verify_dataset(files.location)
    source.size = _read_first_size(source, skip=config.on_damage == "skip")
    _check_resolution(config, source.size)
    return OpenData(
        kind="pictures",
        source=source,
        resolution=source.size,
        manifest=manifest,
        motion_range=manifest.splits[config.split].motion_histogram.whole_range,
        dataset_sha256=file_sha256(files.location / MANIFEST),
        is_fork_safe=_is_fork_safe(files),
    )


def _open_latents(config: DataConfig, files: ShardFiles, manifest: LatentManifest) -> OpenData:
    shards = _find_shards(config, files, manifest)
    size = (manifest.resolution, manifest.resolution)
    _check_resolution(config, size)
    if config.flip and not manifest.has_flips:
        raise DataError(f"{config.location}: holds no flipped latents; encode with flips, or train without flip")
    if not files.are_local:
        raise DataError(f"{config.location}: latents are mapped into memory; set cache to a folder to download them to")
    if config.verify == "full" and not files.is_remote:
        for entry in shards:
            check_sha256(files.local_path(entry), entry, files.path_of(entry))
    histogram = manifest.splits[config.split].motion_histogram
    return OpenData(
        kind="latents",
        source=LatentSource(files, shards),
        resolution=size,
        manifest=manifest,
        motion_range=histogram.whole_range if histogram else None,
        dataset_sha256=manifest.dataset_sha256,
        is_fork_safe=_is_fork_safe(files),
    )


def _is_fork_safe(files: ShardFiles) -> bool:
    return not isinstance(files.location, ObjectPath)


def _find_shards(config: DataConfig, files: ShardFiles, manifest: Manifest | LatentManifest) -> tuple[Any, ...]:
    """Return the split's shards that hold samples, after a check that those on disk have their size.

    They are ShardEntry of a data set, LatentEntry of a latent cache.
    """
    split = manifest.splits.get(config.split)
    if split is None or not split.num_samples:
        others = ", ".join(name for name, entry in manifest.splits.items() if entry.num_samples) or "none"
        raise DataError(f"{config.location}: no samples in split {config.split!r}; those with samples: {others}")
    if sum(entry.num_samples for entry in split.shards) != split.num_samples:
        raise DataError(f"{config.location}: the manifest's shards do not add up to the samples of {config.split}")
    for entry in split.shards if isinstance(files.location, Path) else ():
        path = files.local_path(entry)
        if not path.is_file():
            raise DataError(f"{path}: missing, though the manifest names it")
        if path.stat().st_size != entry.num_bytes:
            raise DataError(f"{path}: {path.stat().st_size:,} bytes, not {entry.num_bytes:,} as in the manifest")
    return tuple(entry for entry in split.shards if entry.num_samples)


def _read_first_size(source: PictureSource, *, skip: bool) -> tuple[int, int]:
    """Return (height, width) of the first sample, or with `skip` of another if it is damaged. Raises DamageError."""
    first_error: DamageError | None = None
    for attempt in range(MAX_REPLACEMENTS if skip else 1):
        sample = draw_replacement(0, 0, attempt, sum(source.shard_sizes)) if attempt else 0
        try:
            height, width, _ = source.read(sample).source.shape
        except DamageError as error:
            first_error = first_error or error
        else:
            source.close()
            return height, width
    assert first_error is not None, "no size was found, so there was an error"  # noqa: S101 # For the type checker.
    raise first_error


def _check_resolution(config: DataConfig, size: tuple[int, int]) -> None:
    if config.resolution is not None and size != (config.resolution, config.resolution):
        side = config.resolution
        raise DataError(
            f"{config.location}: made at {size[1]} x {size[0]} pixels, but {side} x {side} are expected; "
            f"curate it anew with --resolution {side}"
        )
