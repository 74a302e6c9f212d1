"""How fast a run goes: images a second, the share of time that was waited for data, model FLOPs utilisation."""

import contextlib
import time
from collections.abc import Iterator

import torch

from training.runtime.config_fields import Precision
from training.runtime.peak_flops import MatmulPrecision, find_peak_flops


class Throughput:
    """How fast a run goes, between one reading and the next.

    The GPU works behind the program's back: read after something has waited for it, as taking a loss's value does.
    """

    def __init__(
        self,
        device: torch.device,
        precision: Precision,
        *,
        num_devices: int = 1,
        flops_per_sample: int | None = None,
    ) -> None:
        """Take what is trained on: `num_devices` such devices. MFU is told where their peak is known."""
        self._device = device
        self.flops_per_sample = flops_per_sample
        """Of one sample, forward and backward, as `measure_flops` returns them; None tells no MFU."""
        peak_flops = _peak_flops_of(device, precision)
        self.peak_flops = None if peak_flops is None else peak_flops * num_devices
        """Of all devices, FLOP/s; None where it is not known."""
        self._reset()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Time the wait for the next batch; on a GPU only where it ran out of work before the batch was there."""
        told = None
        if self._device.type == "cuda":
            told = torch.cuda.Event()
            told.record()
        start = time.perf_counter()
        try:
            yield
        finally:
            if told is None or told.query():
                self._waited_s += time.perf_counter() - start

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out of the account what is no training: a checkpoint, validation."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._paused_s += time.perf_counter() - start

    def count(self, num_samples: int) -> None:
        """Count samples that were trained on, over all devices."""
        self._num_samples += num_samples

    def read(self) -> dict[str, float]:
        """Return images_per_s, data_wait (a share, 0 to 1) and, where it can be known, mfu (likewise); begin anew.

        Empty where nothing was counted. MFU is as of Chowdhery et al., 2022 (PaLM), appendix B: the model's own
        operations, those that gradient checkpointing repeats not among them, to what the devices could do.
        """
        elapsed_s = time.perf_counter() - self._start_s - self._paused_s
        readings: dict[str, float] = {}
        if self._num_samples and elapsed_s > 0:
            images_per_s = self._num_samples / elapsed_s
            readings = {"images_per_s": images_per_s, "data_wait": min(self._waited_s / elapsed_s, 1.0)}
            if self.flops_per_sample and self.peak_flops:
                readings["mfu"] = images_per_s * self.flops_per_sample / self.peak_flops
        self._reset()
        return readings

    def _reset(self) -> None:
        self._start_s = time.perf_counter()
        self._waited_s = self._paused_s = 0.0
        self._num_samples = 0


def _peak_flops_of(device: torch.device, precision: Precision) -> float | None:
    if device.type != "cuda":
        return None
    matmul: MatmulPrecision = precision if precision != "no" else "tf32" if _uses_tf32() else "fp32"
    return find_peak_flops(torch.cuda.get_device_name(device), matmul)


def _uses_tf32() -> bool:
    return torch.get_float32_matmul_precision() != "highest"
