"""What happens in the processes that read: a micro-batch's positions -> its samples, decoded, in a parcel."""

import dataclasses
import signal
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch.utils.data
from numpy.typing import NDArray

from training.data.errors import DamageError, DataError
from training.data.open_data import MAX_REPLACEMENTS, Source
from training.data.order import SampleOrder, draw_flips, draw_replacement
from training.data.shared_memory import Parcel, RoomPool, pack


@dataclasses.dataclass(frozen=True)
class Request:
    """One micro-batch, as it goes to a worker."""

    positions: NDArray[np.int64]
    samples: NDArray[np.int64]


class Requests(torch.utils.data.Sampler[Request]):
    """The micro-batches of a rank in order. It runs in the trainer's process, which alone holds the permutations."""

    def __init__(self, order: SampleOrder, positions: Iterable[NDArray[np.int64]]) -> None:
        self._order = order
        self._positions = positions

    def __iter__(self) -> Iterator[Request]:
        for positions in self._positions:
            yield Request(positions, self._order.samples_at(positions))


class Reader(torch.utils.data.Dataset[Parcel | DataError]):
    """A request -> its batch in a parcel, or the error that forbids one, which the trainer's process raises."""

    def __init__(self, source: Source, pool: RoomPool | None, *, seed: int, flip: bool, skip: bool) -> None:
        self._source = source
        self._pool = pool
        self._seed = seed
        self._flip = flip
        self._skip = skip

    def __getitem__(self, request: Request) -> Parcel | DataError:
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


def start_worker(_: int) -> None:
    """Leave it to the trainer when to end: signals go to whole groups of processes, and it has a checkpoint to write.

    A worker ends when its trainer tells it, or is gone.
    """
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(name, signal.SIG_IGN)
