"""The trainer's way in: a data set's location -> the micro-batches of one rank, from any position on.

    with BatchStream(config, rank=rank, world_size=world_size, start_position=position) as stream:
        for batch in stream: ...

What comes at a position is a function of the data set, the seed and the position alone (docs/data-order.md), so a
position is all that a checkpoint needs to keep.
"""

import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Self

import numpy as np
import torch.utils.data

from training.data.batch import Batch, LatentBatch
from training.data.config import DataConfig
from training.data.errors import DataError
from training.data.open_data import open_data
from training.data.order import SampleOrder, divides, micro_batches
from training.data.shared_memory import Parcel, RoomPool
from training.data.worker import Reader, Requests, start_worker

logger = logging.getLogger(__name__)


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
                "worker_init_fn": start_worker,
                "multiprocessing_context": None if self.data.is_fork_safe else "forkserver",
            }
        return torch.utils.data.DataLoader(
            Reader(source, self._pool(), seed=config.seed, flip=config.flip, skip=config.on_damage == "skip"),
            batch_size=None,
            sampler=Requests(order, positions),
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
