"""Shared memory that brings decoded pictures from a worker to the trainer.

Fresh shared memory for each batch, as torch's loader makes it, costs a third of what decoding costs, because the system
clears it page by page. So each worker has a few buffers, mapped before it is forked and used in turn. It decodes a
batch into the next one; the trainer copies the pictures out. All other fields go through torch's queue.
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
    """Equal buffers for forked workers, each used again `num_buffers` batches of its worker later.

    A worker must not be more than `num_buffers` - 1 batches ahead of the last one that the trainer unpacked.
    """

    def __init__(self, num_workers: int, num_buffers: int, num_bytes: int) -> None:
        self.id = next(_IDS)
        # Anonymous, so that /dev/shm, which is small in containers, does not limit it.
        memory = mmap.mmap(-1, num_workers * num_buffers * num_bytes)
        self._buffers = np.frombuffer(memory, dtype=np.uint8).reshape(num_workers, num_buffers, num_bytes)
        _POOLS[self.id] = self

    def get(self, worker: int, batch: int) -> NDArray[np.uint8]:
        """Return the buffer of a worker's batch, counted from 0: uint8 [bytes]."""
        buffer: NDArray[np.uint8] = self._buffers[worker, batch % self._buffers.shape[1]]
        return buffer


@dataclasses.dataclass(frozen=True, kw_only=True)
class PackedBatch:
    """A batch on its way from a worker to the trainer."""

    kind: type[Batch] | type[LatentBatch]
    fields: dict[str, Any]
    """Fields of the batch; tensors as arrays, which are pickled, while each tensor would take shared memory."""
    buffer: tuple[int, int, int] | None
    """Pool, worker and batch of the buffer that holds the pictures; None where they are among the fields."""

    def unpack(self) -> Batch | LatentBatch:
        """Return the batch, in memory of its own."""
        return self._unpack(Tensor.clone)

    def pin_memory(self) -> Batch | LatentBatch:
        """Return the batch in page-locked memory; torch's loader calls this in a thread."""
        return self._unpack(lambda pictures: pictures).pin_memory()

    def _unpack(self, copy: Any) -> Batch | LatentBatch:
        fields: dict[str, Any] = {
            name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
            for name, value in self.fields.items()
        }
        if self.buffer is not None:
            pool, worker, batch = self.buffer
            shape = fields.pop("shape")
            pictures = copy(torch.from_numpy(_POOLS[pool].get(worker, batch)[: math.prod(shape)]))
            fields["source"], fields["target"] = pictures.view(shape).permute(0, 1, 4, 2, 3)
        return self.kind(**fields)


def pack(batch: Batch | LatentBatch, buffer: tuple[int, int, int] | None) -> PackedBatch:
    """Pack a batch, its pictures in `buffer` (pool, worker, batch) if there is one."""
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
