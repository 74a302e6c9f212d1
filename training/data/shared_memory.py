"""Shared memory that brings decoded pictures from a worker to the trainer without a copy.

Fresh shared memory for each batch, as torch's loader makes it, costs a third of what decoding costs, because the system
clears it page by page. So each worker has a few buffers, mapped before it is forked. It decodes a batch into a free
one, and the trainer's tensors are views of it; when the last of them is gone, the buffer is free again. If batches are
being kept and no buffer is free, the worker allocates memory. All other fields go through torch's queue.
"""

import dataclasses
import itertools
import math
import mmap
import weakref
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.batch import Batch, LatentBatch

_POOLS: "weakref.WeakValueDictionary[int, BufferPool]" = weakref.WeakValueDictionary()
_IDS = itertools.count()


class BufferPool:
    """Equal buffers, `num_buffers` for each worker. Inherited by forked processes; not picklable."""

    def __init__(self, num_workers: int, num_buffers: int, num_bytes: int) -> None:
        self.id = next(_IDS)
        # Anonymous, so that /dev/shm, which is small in containers, does not limit it.
        memory = mmap.mmap(-1, num_workers * num_buffers * num_bytes)
        self._buffers = np.frombuffer(memory, dtype=np.uint8).reshape(num_workers, num_buffers, num_bytes)
        # A worker sets the flags of its own buffers, and the trainer clears them.
        flags = mmap.mmap(-1, num_workers * num_buffers)
        self._in_use = np.frombuffer(flags, dtype=np.uint8).reshape(num_workers, num_buffers)
        _POOLS[self.id] = self

    def acquire(self, worker: int) -> tuple[int, NDArray[np.uint8]] | None:
        """In a worker: return the number of a free buffer and the buffer, uint8 [bytes]; None if all are in use."""
        free = np.flatnonzero(self._in_use[worker] == 0)
        if not len(free):
            return None
        self._in_use[worker, free[0]] = 1
        return int(free[0]), self._buffers[worker, free[0]]

    def release(self, worker: int, number: int) -> None:
        """Mark a buffer as free."""
        self._in_use[worker, number] = 0

    def view(self, worker: int, number: int) -> Tensor:
        """In the trainer: return a buffer as uint8 [bytes]; it is released when no view of it is left."""
        buffer = self._buffers[worker, number]
        weakref.finalize(buffer, self.release, worker, number).atexit = False
        return torch.from_numpy(buffer)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PackedBatch:
    """A batch on its way from a worker to the trainer."""

    kind: type[Batch] | type[LatentBatch]
    fields: dict[str, Any]
    """Fields of the batch; tensors as arrays, which are pickled, while each tensor would take shared memory."""
    buffer: tuple[int, int, int] | None
    """Pool, worker and number of the buffer that holds the pictures; None where they are among the fields."""

    def unpack(self) -> Batch | LatentBatch:
        """Return the batch, in the trainer's process."""
        fields: dict[str, Any] = {
            name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
            for name, value in self.fields.items()
        }
        if self.buffer is not None:
            pool, worker, number = self.buffer
            shape = fields.pop("shape")
            pictures = _POOLS[pool].view(worker, number)[: math.prod(shape)].view(shape)
            fields["source"], fields["target"] = pictures.permute(0, 1, 4, 2, 3)
        return self.kind(**fields)

    def pin_memory(self) -> Batch | LatentBatch:
        """Return the batch in page-locked memory; torch's loader calls this in a thread."""
        return self.unpack().pin_memory()


def pack(batch: Batch | LatentBatch, buffer: tuple[int, int, int] | None) -> PackedBatch:
    """Pack a batch, its pictures in `buffer` (pool, worker, number) if there is one."""
    fields = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    large = ("source", "target")
    if buffer is not None:
        count, channels, height, width = fields["source"].shape
        fields = {name: value for name, value in fields.items() if name not in large}
        fields["shape"] = (2, count, height, width, channels)
    for name, value in fields.items():
        if isinstance(value, Tensor) and name not in large:
            fields[name] = value.numpy()
    return PackedBatch(kind=type(batch), fields=fields, buffer=buffer)
