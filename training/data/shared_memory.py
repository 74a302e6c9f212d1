"""How a batch gets from a worker to the trainer: its pictures through memory that both see, the rest as a message.

Memory that is made anew for each batch costs a third of what decoding costs: the system clears it page by page. So a
stream has a fixed number of rooms for each worker, made before the workers are forked off. A worker writes a batch's
pictures into a free room; the trainer's tensors are views of it; when the last of them is gone, the room is free again.
Where a worker finds none, because batches are being kept, it makes memory anew.
"""

import dataclasses
import itertools
import mmap
import weakref
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.batch import Batch, LatentBatch

Room = NDArray[np.uint8]

_POOLS: "weakref.WeakValueDictionary[int, RoomPool]" = weakref.WeakValueDictionary()
_IDS = itertools.count()


class RoomPool:
    """Rooms of equal size, `num_rooms` for each worker. Inherited by a fork; cannot be sent."""

    def __init__(self, num_workers: int, num_rooms: int, num_bytes: int) -> None:
        self.id = next(_IDS)
        # Anonymous, so the size of /dev/shm, which containers keep small, is no limit.
        self._rooms = np.frombuffer(mmap.mmap(-1, num_workers * num_rooms * num_bytes), dtype=np.uint8)
        self._rooms = self._rooms.reshape(num_workers, num_rooms, num_bytes)
        # One byte a room: a worker sets its own rooms' to 1, the trainer sets them back.
        self._taken = np.frombuffer(mmap.mmap(-1, num_workers * num_rooms), dtype=np.uint8)
        self._taken = self._taken.reshape(num_workers, num_rooms)
        _POOLS[self.id] = self

    def take(self, worker: int) -> tuple[int, Room] | None:
        """Give a free room of this worker and its number, in the worker; None where all are taken."""
        free = np.flatnonzero(self._taken[worker] == 0)
        if not len(free):
            return None
        self._taken[worker, free[0]] = 1
        return int(free[0]), self._rooms[worker, free[0]]

    def give_back(self, worker: int, number: int) -> None:
        """Make a room free again."""
        self._taken[worker, number] = 0

    def view(self, worker: int, number: int) -> Tensor:
        """Give the tensor of a room, uint8 [bytes], in the trainer; the room is free when no view of it is left."""
        room = self._rooms[worker, number]
        weakref.finalize(room, self.give_back, worker, number).atexit = False
        return torch.from_numpy(room)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parcel:
    """A batch on its way."""

    kind: type[Batch] | type[LatentBatch]
    fields: dict[str, Any]
    """Of the batch; small tensors as arrays, which need no memory of their own."""
    room: tuple[int, int, int] | None
    """Pool, worker and number of the room where the pictures lie; None where they are among the fields."""

    def unpack(self) -> Batch | LatentBatch:
        """Make the batch, in the trainer's process."""
        fields = {name: _to_tensor(value) for name, value in self.fields.items()}
        if self.room is not None:
            pool, worker, number = self.room
            shape = fields.pop("shape")
            pictures = _POOLS[pool].view(worker, number)[: int(np.prod(shape))].view(shape)
            fields["source"], fields["target"] = pictures.permute(0, 1, 4, 2, 3)
        return self.kind(**fields)

    def pin_memory(self) -> Batch | LatentBatch:
        """Unpack into page-locked memory; torch's loader calls this in a thread of its own."""
        return self.unpack().pin_memory()


def pack(batch: Batch | LatentBatch, room: tuple[int, int, int] | None) -> Parcel:
    """Make a batch ready to be sent; `room` is where its pictures were written."""
    fields = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    if isinstance(batch, Batch):
        source, target = fields.pop("source"), fields.pop("target")
        if room is None:
            fields["source"], fields["target"] = source, target
        else:
            count, channels, height, width = source.shape
            fields["shape"] = (2, count, height, width, channels)
    small = {
        name: value.numpy() if isinstance(value, Tensor) and name not in ("source", "target") else value
        for name, value in fields.items()
    }
    return Parcel(kind=type(batch), fields=small, room=room)


def _to_tensor(value: Any) -> Any:
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value
