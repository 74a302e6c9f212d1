"""Speed of a run: images per second, time spent waiting for data, model FLOPs utilization (MFU)."""

import contextlib
import time
from collections.abc import Iterator

import torch

from training.runtime.config_fields import Precision
from training.runtime.peak_flops import MatmulPrecision, find_peak_flops


class Throughput:
    """Measures speed from one reading to the next.

    CUDA is asynchronous: call `read` after something has synchronized with the device, such as reading a loss.
    """

    def __init__(
        self,
        device: torch.device,
        precision: Precision,
        *,
        num_devices: int = 1,
        flops_per_sample: int | None = None,
    ) -> None:
        """Measure `num_devices` devices like `device`. MFU is computed if their peak is known."""
        self._device = device
        self.flops_per_sample = flops_per_sample
        """FLOPs of one sample, forward and backward; None for no MFU."""
        peak_flops = _find_device_peak(device, precision)
        self.peak_flops = None if peak_flops is None else peak_flops * num_devices
        """Peak of all devices in FLOP/s; None if unknown."""
        self._reset()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Time the wait for a batch. On a GPU it counts only if the GPU ran out of work before the batch arrived."""
        last_work = None
        if self._device.type == "cuda":
            last_work = torch.cuda.Event()
            last_work.record()
        start = time.perf_counter()
        try:
            yield
        finally:
            if last_work is None or last_work.query():
                self._waited_s += time.perf_counter() - start

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude a block that is not training, such as writing a checkpoint."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._paused_s += time.perf_counter() - start

    def count(self, num_samples: int) -> None:
        """Count samples that were trained on, over all devices."""
        self._num_samples += num_samples

    def read(self) -> dict[str, float]:
        """Return images_per_s, data_wait and, if known, mfu (shares from 0 to 1) since the last reading.

        Returns nothing if no sample was counted. MFU is defined as in Chowdhery et al., 2022 (PaLM), appendix B: the
        model's own FLOPs, without what gradient checkpointing repeats, divided by the peak of the devices.
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


def _find_device_peak(device: torch.device, precision: Precision) -> float | None:
    if device.type != "cuda":
        return None
    uses_tf32 = torch.get_float32_matmul_precision() != "highest"
    matmul: MatmulPrecision = precision if precision != "no" else "tf32" if uses_tf32 else "fp32"
    return find_peak_flops(torch.cuda.get_device_name(device), matmul)
