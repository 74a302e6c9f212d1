"""Prefetching: prepare the next micro-batch on the host while the device computes on the current one."""

from collections.abc import Iterator
from typing import Self

from training.data import Batch, LatentBatch
from training.runtime.throughput import Throughput
from training.trainer.loss_step import LossStep, StepInputs


class Prefetcher:
    """Iterates over micro-batches on the device.

    CUDA is asynchronous: call `prefetch` after the device was given work and before waiting for its result, so that
    decoding, tokenizing, drawing noise and copying overlap with that work.
    """

    def __init__(self, batches: Iterator[Batch | LatentBatch], loss_step: LossStep, throughput: Throughput) -> None:
        self._batches = batches
        self._loss_step = loss_step
        self._throughput = throughput
        self._next: StepInputs | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StepInputs:
        self.prefetch()
        inputs, self._next = self._next, None
        if inputs is None:
            raise StopIteration
        return inputs

    def prefetch(self) -> None:
        """Prepare the next micro-batch, unless it is ready or there is none. Raises DataError if it is unreadable."""
        if self._next is None:
            with self._throughput.waiting():
                batch = next(self._batches, None)
            if batch is not None:
                self._next = self._loss_step.prepare(batch)
