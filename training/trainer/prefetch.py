"""Micro-batches, one ahead: what the host has to do for the next is done while the device is at work on the last."""

from collections.abc import Iterator

from training.data import Batch, LatentBatch
from training.runtime.throughput import Throughput
from training.trainer.loss_step import LossStep, StepInputs


class Feed:
    """Takes batches from a stream and brings them to the device.

    A GPU works on its own once it was told what to do. A program that waits for a loss and only then decodes, tokenizes
    and draws leaves it idle meanwhile; one that looks ahead first does not.
    """

    def __init__(self, batches: Iterator[Batch | LatentBatch], loss_step: LossStep, throughput: Throughput) -> None:
        """Take nothing yet."""
        self._batches = batches
        self._loss_step = loss_step
        self._throughput = throughput
        self._ready: StepInputs | None = None

    def take(self) -> StepInputs:
        """Return the next micro-batch. Raises DataError where the stream does."""
        ready, self._ready = self._ready or self._make(), None
        return ready

    def look_ahead(self) -> None:
        """Make the next micro-batch ready, if it is not. Raises DataError where the stream does."""
        self._ready = self._ready or self._make()

    def _make(self) -> StepInputs:
        with self._throughput.waiting():
            batch = next(self._batches)
        return self._loss_step.prepare(batch)
