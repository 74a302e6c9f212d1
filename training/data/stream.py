"""The loader's entry point: a data set's location -> the micro-batches of one rank, from any position on.

    with BatchStream(config, rank=rank, world_size=world_size, start_position=position) as stream:
        for batch in stream: ...

The batch at a position depends on the data set, the seed and the position alone (docs/data-order.md), so a checkpoint
saves nothing but the position.
"""

import logging
import multiprocessing
import weakref
from collections.abc import Generator, Sequence
from typing import Any, Literal, Self

import numpy as np
import torch.utils.data

from training.data.batch import Batch, LatentBatch
from training.data.config import DataConfig
from training.data.errors import DataError
from training.data.open_data import open_data
from training.data.order import SampleOrder, divides, micro_batches
from training.data.shared_memory import BufferPool, PackedBatch
from training.data.worker import Reader, Requests, start_worker

logger = logging.getLogger(__name__)


class BatchStream:
    """The micro-batches of one rank, from `start_position` on, for `num_steps` global steps or without end.

    Each step is global_batch / world_size / micro_batch consecutive batches. All ranks pass the same `start_position`,
    any number. A second iteration continues after the last whole step. Raises DataError before a worker is started;
    while iterating, where a sample is damaged and must not be skipped, or a worker was killed.
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
            raise DataError(f"rank {rank} of {world_size} at position {start_position} is not possible")
        self.config = config
        self.data = open_data(config)
        self.num_skipped = 0
        """Damaged samples that were skipped in the batches of this rank so far."""
        self._start = start_position
        self._num_steps = num_steps
        self._num_batches = 0
        self._rank, self._world_size = rank, world_size
        self._reported: set[str] = set()
        self._batches: weakref.ref[Generator[Batch | LatentBatch]] | None = None

    @property
    def kind(self) -> Literal["pictures", "latents"]:
        """What a batch is: "pictures" for Batch, "latents" for LatentBatch."""
        return self.data.kind

    @property
    def num_samples(self) -> int:
        """Number of samples of the split, and so of an epoch."""
        return sum(self.data.source.shard_sizes)

    @property
    def resolution(self) -> tuple[int, int]:
        """(height, width) of the pictures, in pixels."""
        return self.data.resolution

    @property
    def batches_per_step(self) -> int:
        """Number of micro-batches of this rank in a global step."""
        return self.config.global_batch // self._world_size // self.config.micro_batch

    @property
    def position(self) -> int:
        """Where to resume: the start plus the samples, of all ranks, of the whole steps yielded so far."""
        return self._start + self._num_batches // self.batches_per_step * self.config.global_batch

    def __iter__(self) -> Generator[Batch | LatentBatch]:
        self.close()
        num_steps_done = self._num_batches // self.batches_per_step
        self._num_batches = num_steps_done * self.batches_per_step
        batches = self._read(self._loader(num_steps_done))
        self._batches = weakref.ref(batches)
        return batches

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the workers. Batches that they prefetched are lost, and are read again from the same position."""
        if self._batches and (batches := self._batches()):
            batches.close()

    def _read(self, loader: "torch.utils.data.DataLoader[Any]") -> Generator[Batch | LatentBatch]:
        # torch stops the workers when the last reference to its iterator is gone.
        items = iter(loader)
        try:
            while (item := _next_item(items)) is not None:
                if isinstance(item, DataError):
                    raise item
                batch = item.unpack() if isinstance(item, PackedBatch) else item
                del item
                self._num_batches += 1
                self._count_skipped(batch)
                yield batch
                del batch  # So that its buffer can be used for the next one.
        finally:
            del items

    def _loader(self, num_steps_done: int) -> "torch.utils.data.DataLoader[Any]":
        config, source = self.config, self.data.source
        order = SampleOrder(source.shard_sizes, seed=config.seed, window_shards=config.window_shards)
        positions = micro_batches(
            self.position,
            rank=self._rank,
            world_size=self._world_size,
            global_batch=config.global_batch,
            micro_batch=config.micro_batch,
            num_steps=None if self._num_steps is None else self._num_steps - num_steps_done,
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
            collate_fn=_identity,
            pin_memory=config.pin_memory,
            # The loader draws from its generator; the global one belongs to the trainer's checkpoint.
            generator=torch.Generator(),
            **workers,
        )

    def _pool(self) -> BufferPool | None:
        """Map the buffers of the workers; None where pictures go another way."""
        num_bytes = self.data.source.num_picture_bytes(self.config.micro_batch)
        # Anonymous memory is inherited by forked processes only.
        is_forked = self.data.is_fork_safe and multiprocessing.get_start_method() == "fork"
        if not (self.config.num_workers and num_bytes and is_forked):
            return None
        # For what a worker prefetches, and for two batches in the trainer's hands.
        return BufferPool(self.config.num_workers, self.config.prefetch_batches + 2, num_bytes)

    def _count_skipped(self, batch: Batch | LatentBatch) -> None:
        self.num_skipped += batch.num_skipped
        for damage in batch.damages:
            if damage.shard not in self._reported:
                self._reported.add(damage.shard)
                logger.warning("%s; skipped, as will be further damage in this shard", damage)


def read_batch(config: DataConfig, samples: Sequence[int]) -> Batch | LatentBatch:
    """Read samples by number in this process, not mirrored, for example for validation. Raises DataError."""
    data = open_data(config)
    if bad := [sample for sample in samples if not 0 <= sample < sum(data.source.shard_sizes)]:
        raise DataError(f"{config.location}: no sample {bad[0]} in {config.split}")
    return data.source.collate(
        [data.source.read(sample) for sample in samples],
        positions=np.array(samples, dtype=np.int64),
        flipped=np.zeros(len(samples), dtype=np.bool_),
        damages=(),
    )


def _next_item(items: Any) -> Any:
    """Return the next item of torch's iterator; None at its end, and a DataError where a worker was killed."""
    try:
        return next(items)
    except StopIteration:
        return None
    except RuntimeError as error:
        # Returned, not raised: the traceback of torch's error would keep the iterator and its workers alive.
        return DataError(f"a process that reads the data ended: {str(error).splitlines()[0]}")


def _identity(batch: Any) -> Any:
    return batch
