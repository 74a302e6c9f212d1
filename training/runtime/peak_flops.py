"""Peak matrix throughput of GPUs, by device name."""

import re
from typing import Literal

MatmulPrecision = Literal["bf16", "fp16", "tf32", "fp32"]

_PEAK_TFLOPS: tuple[tuple[str, dict[MatmulPrecision, float]], ...] = (
    # Dense peaks from NVIDIA's data sheets; half precision accumulates in float32. The first match counts.
    (r"H200 NVL|H100 NVL", {"bf16": 835.5, "fp16": 835.5, "tf32": 417.5, "fp32": 60.0}),
    (r"H100 PCIe", {"bf16": 756.0, "fp16": 756.0, "tf32": 378.0, "fp32": 51.0}),
    (r"H200|H100", {"bf16": 989.4, "fp16": 989.4, "tf32": 494.7, "fp32": 66.9}),
    (r"A100", {"bf16": 312.0, "fp16": 312.0, "tf32": 156.0, "fp32": 19.5}),
    (r"L40S", {"bf16": 362.05, "fp16": 362.05, "tf32": 183.0, "fp32": 91.6}),
    (r"RTX 4090", {"bf16": 165.2, "fp16": 165.2, "tf32": 82.6, "fp32": 82.6}),
    (r"RTX 3090 Ti", {"bf16": 80.0, "fp16": 80.0, "tf32": 40.0, "fp32": 40.0}),
    (r"RTX 3090", {"bf16": 71.0, "fp16": 71.0, "tf32": 35.6, "fp32": 35.6}),
    (r"V100S", {"fp16": 130.0, "fp32": 16.4}),
    (r"V100-PCIE", {"fp16": 112.0, "fp32": 14.0}),
    (r"V100", {"fp16": 125.0, "fp32": 15.7}),
    (r"T4", {"fp16": 65.0, "fp32": 8.1}),
)
_SLOWER_VARIANTS = re.compile(r"\b(Laptop|Max-Q|MIG|4090 D)\b")
"""Names that contain one of the table's but belong to slower chips, or to slices of a chip."""


def find_peak_flops(device_name: str, precision: MatmulPrecision) -> float | None:
    """Return the dense peak in FLOP/s of a device named by torch.cuda.get_device_name, or None if it is unknown."""
    if _SLOWER_VARIANTS.search(device_name):
        return None
    for pattern, peaks in _PEAK_TFLOPS:
        if re.search(rf"\b(?:{pattern})\b", device_name):
            return peaks[precision] * 1e12 if precision in peaks else None
    return None
