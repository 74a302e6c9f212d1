"""The trainer's way in: a data set's location -> the micro-batches of one rank, from any position on.

    with BatchStream(config, rank=rank, world_size=world_size, start_position=position) as stream:
        for batch in stream: ...

What comes at a position is a function of the data set, the seed and the position alone (docs/data-order.md), so a
position is all that a checkpoint needs to keep.
"""

import dataclasses
import logging
import multiprocessing
import signal
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np
import torch
import torch.utils.data
from numpy.typing import NDArray

from shards.errors import DatasetError
from shards.manifest import Manifest, ShardEntry, read_manifest
from shards.schema import MANIFEST
from shards.verify import verify_dataset
from shards.writer import file_sha256
from training.data.batch import Batch, LatentBatch
from training.data.cache import ShardFiles, not_the_manifests, user_cache
from training.data.errors import DamageError, DataError
from training.data.latents import LATENTS_MANIFEST, LatentManifest, LatentSource, parse_latent_manifest
from training.data.order import SampleOrder, divides, draw_flips, draw_replacement, micro_batches
from training.data.parcels import Parcel, Room, RoomPool, pack
from training.data.pictures import PictureSource
from training.data.storage import S3Storage, Storage, open_storage

logger = logging.getLogger(__name__)

MAX_REPLACEMENTS = 64
"""Damaged samples in a row at one position after which the data are given up."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What to read and how. Checked on construction; raises DataError."""

    location: str
    """Folder or URL (http://, https://, s3://) of a data set, or of a latent cache."""
    split: str = "train"
    """train, val or test."""
    seed: int = 0
    """Decides the order and the flips."""
    global_batch: int
    """Samples of an optimizer step, over all ranks and accumulated micro-batches."""
    micro_batch: int
    """Samples that a rank passes through the model at once."""
    num_workers: int = 2
    """Processes of each rank that read and decode; 0 does it in the trainer's own. It changes no batch."""
    prefetch_batches: int = 4
    """Micro-batches that each worker keeps ready, 1 or more."""
    resolution: int | None = None
    """Side of the pictures that the model expects, in pixels; None takes what there is."""
    flip: bool = True
    """Mirror half of the pairs, source and target together."""
    window_shards: int | None = None
    """Shards that are in use at a time; None mixes all of them. Choose it where shards are fetched into a cache."""
    cache: Path | None = None
    """Folder for whole shards of a remote data set, and for indexes of offsets. Without one a remote data set is
    read by ranges, and indexes are kept in the user's cache."""
    on_damage: Literal["raise", "skip"] = "raise"
    """Whether a damaged sample ends the training or is counted and another stands in for it."""
    verify: Literal["quick", "full"] = "quick"
    """Before the first batch: that every shard has its size (quick), or its hash and contents too (full). Of a remote
    data set the manifest alone is held; a shard is held against its hash when it is fetched."""
    pin_memory: bool = False
    """Put batches in page-locked memory, from which copies to a GPU overlap with its work."""
    s3_endpoint: str | None = None
    """URL of an S3 service other than Amazon's; else AWS_ENDPOINT_URL tells it."""

    def __post_init__(self) -> None:
        for name, least in (("global_batch", 1), ("micro_batch", 1), ("num_workers", 0), ("prefetch_batches", 1)):
            if getattr(self, name) < least:
                raise DataError(f"{name} is {getattr(self, name)}; {least} or more is allowed")
        if self.window_shards is not None and self.window_shards < 1:
            raise DataError(f"window_shards is {self.window_shards}; 1 or more, or None, is allowed")
        if self.on_damage not in ("raise", "skip"):
            raise DataError(f"on_damage is {self.on_damage!r}; raise and skip are allowed")
        if self.verify not in ("quick", "full"):
            raise DataError(f"verify is {self.verify!r}; quick and full are allowed")


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
        raise DataError(f"{config.location}: latents are mapped into memory; tell a folder to cache them in")
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


@dataclasses.dataclass(frozen=True)
class _Request:
    """One micro-batch, as it goes to a worker."""

    positions: NDArray[np.int64]
    samples: NDArray[np.int64]


class _Requests(torch.utils.data.Sampler[_Request]):
    """The micro-batches of a rank in order. It runs in the trainer's process, which alone holds the permutations."""

    def __init__(self, order: SampleOrder, positions: Iterable[NDArray[np.int64]]) -> None:
        self._order = order
        self._positions = positions

    def __iter__(self) -> Iterator[_Request]:
        for positions in self._positions:
            yield _Request(positions, self._order.samples_at(positions))


class _Reader(torch.utils.data.Dataset[Parcel | DataError]):
    """A request -> its batch in a parcel, or the error that forbids one, which the trainer's process raises."""

    def __init__(self, source: Source, pool: RoomPool | None, *, seed: int, flip: bool, skip: bool) -> None:
        self._source = source
        self._pool = pool
        self._seed = seed
        self._flip = flip
        self._skip = skip

    def __getitem__(self, request: _Request) -> Parcel | DataError:
        damages: list[DamageError] = []
        flipped = draw_flips(self._seed, request.positions) & self._flip
        try:
            rows = (
                self._read(position, sample, damages)
                for position, sample in zip(request.positions.tolist(), request.samples.tolist(), strict=True)
            )
            return self._pack(rows, request.positions, flipped, damages)
        except DataError as error:
            return error

    def _pack(
        self, rows: Iterable[Any], positions: NDArray[np.int64], flipped: NDArray[np.bool_], damages: list[DamageError]
    ) -> Parcel:
        worker = torch.utils.data.get_worker_info()
        taken = self._pool.take(worker.id) if self._pool and worker else None
        if self._pool is None or worker is None or taken is None:
            return pack(self._source.collate(rows, positions=positions, flipped=flipped, damages=damages), None)
        number, room = taken
        batch = self._source.collate(rows, positions=positions, flipped=flipped, damages=damages, room=room)
        return pack(batch, (self._pool.id, worker.id, number))

    def _read(self, position: int, sample: int, damages: list[DamageError]) -> Any:
        for attempt in range(MAX_REPLACEMENTS):
            try:
                return self._source.read(sample)
            except DamageError as error:
                if not self._skip:
                    raise
                damages.append(error)
                sample = draw_replacement(self._seed, position, attempt, sum(self._source.shard_sizes))
        raise DataError(f"{damages[-1].shard}: {MAX_REPLACEMENTS} samples in a row are damaged, this one among them")


class BatchStream:
    """The micro-batches of one rank, from `start_position` on, for `num_steps` global steps or for ever.

    Each step is global_batch / world_size / micro_batch batches in a row. Every rank gives the same `start_position`,
    which may be any number. Iterated again, it goes on after the last whole step. Raises DataError, one sentence,
    before a worker is started; and while it is iterated where a sample is damaged and is not to be skipped, or a
    worker was killed.
    """

    def __init__(
        self,
        config: DataConfig,
        *,
        rank: int = 0,
        world_size: int = 1,
        start_position: int = 0,
        num_steps: int | None = None,
    ) -> None:
        if not divides(config.global_batch, world_size, config.micro_batch):
            raise DataError(
                f"a global batch of {config.global_batch} cannot be divided among {world_size} ranks "
                f"in micro-batches of {config.micro_batch}"
            )
        if not 0 <= rank < world_size or start_position < 0:
            raise DataError(f"rank {rank} of {world_size} at position {start_position} cannot be")
        self.config = config
        self.data = open_data(config)
        self.num_skipped = 0
        """Samples that were passed over for damage, in the batches of this rank so far."""
        self._start = start_position
        self._num_steps = num_steps
        self._num_batches = 0
        self._rank, self._world_size = rank, world_size
        self._told: set[str] = set()
        self._iterator: Any = None

    @property
    def kind(self) -> Literal["pictures", "latents"]:
        """Which batches come: Batch or LatentBatch."""
        return self.data.kind

    @property
    def num_samples(self) -> int:
        """Samples of the split, and so of an epoch."""
        return sum(self.data.source.shard_sizes)

    @property
    def resolution(self) -> tuple[int, int]:
        """(height, width) of the pictures, in pixels."""
        return self.data.resolution

    @property
    def batches_per_step(self) -> int:
        """Micro-batches of this rank in a global step."""
        return self.config.global_batch // self._world_size // self.config.micro_batch

    @property
    def position(self) -> int:
        """Where to go on from: the start and the samples, over all ranks, of the whole steps given out so far."""
        return self._start + self._num_batches // self.batches_per_step * self.config.global_batch

    def __iter__(self) -> Iterator[Batch | LatentBatch]:
        self.close()
        num_done = self._num_batches // self.batches_per_step
        self._num_batches = num_done * self.batches_per_step
        self._iterator = iterator = iter(self._loader(num_done))
        try:
            while True:
                try:
                    found = next(iterator)
                except StopIteration:
                    return
                except RuntimeError as error:
                    raise DataError(f"a process that reads the data ended: {str(error).splitlines()[0]}") from error
                if isinstance(found, DataError):
                    raise found
                batch = found.unpack() if isinstance(found, Parcel) else found
                del found
                self._num_batches += 1
                self._count(batch)
                yield batch
        finally:
            if self._iterator is iterator:
                self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers. Batches that they had ready are lost, and come again at the same position."""
        if self._iterator is not None and hasattr(self._iterator, "_shutdown_workers"):
            self._iterator._shutdown_workers()
        self._iterator = None

    def _loader(self, num_done: int) -> "torch.utils.data.DataLoader[Any]":
        config, source = self.config, self.data.source
        order = SampleOrder(source.shard_sizes, seed=config.seed, window_shards=config.window_shards)
        positions = micro_batches(
            self.position,
            rank=self._rank,
            world_size=self._world_size,
            global_batch=config.global_batch,
            micro_batch=config.micro_batch,
            num_steps=None if self._num_steps is None else self._num_steps - num_done,
        )
        workers: dict[str, Any] = {}
        if config.num_workers:
            workers = {
                "prefetch_factor": config.prefetch_batches,
                "worker_init_fn": _start_worker,
                "multiprocessing_context": None if self.data.is_fork_safe else "forkserver",
            }
        return torch.utils.data.DataLoader(
            _Reader(source, self._pool(), seed=config.seed, flip=config.flip, skip=config.on_damage == "skip"),
            batch_size=None,
            sampler=_Requests(order, positions),
            num_workers=config.num_workers,
            collate_fn=_as_it_is,
            pin_memory=config.pin_memory,
            # Its own, as the loader draws a number, and the global one is the trainer's and part of its checkpoint.
            generator=torch.Generator(),
            **workers,
        )

    def _pool(self) -> RoomPool | None:
        """Make rooms for what the workers have ready and for two batches in the trainer's hands."""
        num_bytes = self.data.source.room_bytes(self.config.micro_batch)
        # A pool is inherited, so it is of no use to a process that is not forked off.
        if not (self.config.num_workers and num_bytes and self.data.is_fork_safe and _forks()):
            return None
        return RoomPool(self.config.num_workers, self.config.prefetch_batches + 2, num_bytes)

    def _count(self, batch: Batch | LatentBatch) -> None:
        self.num_skipped += batch.num_skipped
        for damage in batch.damages:
            if damage.shard not in self._told:
                self._told.add(damage.shard)
                logger.warning("%s; skipped, as will be what else is damaged in this shard", damage)


def read_batch(config: DataConfig, samples: Sequence[int]) -> Batch | LatentBatch:
    """Read samples by their numbers, not mirrored, in this process: the fixed clips of a validation, say.

    Raises DataError.
    """
    data = open_data(config)
    if bad := [sample for sample in samples if not 0 <= sample < sum(data.source.shard_sizes)]:
        raise DataError(f"{config.location}: no sample {bad[0]} in {config.split}")
    return data.source.collate(
        [data.source.read(sample) for sample in samples],
        positions=np.array(samples, dtype=np.int64),
        flipped=np.zeros(len(samples), dtype=np.bool_),
        damages=(),
    )


def _forks() -> bool:
    return multiprocessing.get_start_method() == "fork"


def _as_it_is(batch: Any) -> Any:
    return batch


def _start_worker(_: int) -> None:
    """Leave it to the trainer when to end: signals go to whole groups of processes, and it has a checkpoint to write.

    A worker ends when its trainer tells it, or is gone.
    """
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(name, signal.SIG_IGN)
