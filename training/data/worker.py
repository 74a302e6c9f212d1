"""The part of the loader that runs in worker processes: positions of a micro-batch -> its samples, decoded."""

import dataclasses
import signal
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch.utils.data
from numpy.typing import NDArray

from training.data.batch import Batch, LatentBatch
from training.data.errors import DamageError, DataError
from training.data.open_data import MAX_REPLACEMENTS, Source
from training.data.order import SampleOrder, draw_flips, draw_replacement
from training.data.shared_memory import BufferPool, PackedBatch, pack


@dataclasses.dataclass(frozen=True)
class Request:
    """One micro-batch to read."""

    positions: NDArray[np.int64]
    samples: NDArray[np.int64]


class Requests(torch.utils.data.Sampler[Request]):
    """The micro-batches of a rank in order. Runs in the trainer's process, the only one to hold the permutations."""

    def __init__(self, order: SampleOrder, positions: Iterable[NDArray[np.int64]]) -> None:
        self._order = order
        self._positions = positions

    def __iter__(self) -> Iterator[Request]:
        for positions in self._positions:
            yield Request(positions, self._order.samples_at(positions))


class Reader(torch.utils.data.Dataset[Batch | LatentBatch | PackedBatch | DataError]):
    """A request -> its batch, packed in a worker; or the error, which the trainer's process raises."""

    def __init__(self, source: Source, pool: BufferPool | None, *, seed: int, flip: bool, skip: bool) -> None:
        self._source = source
        self._pool = pool
        self._seed = seed
        self._flip = flip
        self._skip = skip

    def __getitem__(self, request: Request) -> Batch | LatentBatch | PackedBatch | DataError:
        worker = torch.utils.data.get_worker_info()
        key, buffer = None, None
        if self._pool and worker and (acquired := self._pool.acquire(worker.id)):
            number, buffer = acquired
            key = (self._pool.id, worker.id, number)
        damages: list[DamageError] = []
        flipped = draw_flips(self._seed, request.positions) & self._flip
        rows = (
            self._read(position, sample, damages)
            for position, sample in zip(request.positions.tolist(), request.samples.tolist(), strict=True)
        )
        try:
            batch = self._source.collate(
                rows, positions=request.positions, flipped=flipped, damages=damages, buffer=buffer
            )
        except DataError as error:
            return error
        return pack(batch, key) if worker else batch

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


def start_worker(_: int) -> None:
    """Ignore signals that reach the whole process group: the trainer stops its workers after its last checkpoint."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(name, signal.SIG_IGN)
