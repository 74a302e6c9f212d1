"""`--device` and `--precision` -> a torch device and dtype."""

import os

import torch

from training.errors import TrainingError
from training.runtime.config_fields import Precision

DTYPES: dict[Precision, torch.dtype] = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str | None = None, *, allow_mps: bool = False) -> torch.device:
    """Return the named device, or the best available one: CUDA, MPS if `allow_mps`, CPU.

    Under torchrun, the default CUDA device is that of LOCAL_RANK. Raises TrainingError if a named device is missing.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name is None:
        if available["cuda"]:
            rank = os.environ.get("LOCAL_RANK")
            return torch.device("cuda" if rank is None else f"cuda:{rank}")
        return torch.device("mps" if allow_mps and available["mps"] else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        kinds = ", ".join(kind for kind, is_available in available.items() if is_available)
        raise TrainingError(f"there is no device {name} on this machine; choose one of: {kinds}") from error
    return device


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raise TrainingError for fp16 on a CPU, which has no fast or complete float16 kernels."""
    if precision == "fp16" and device.type == "cpu":
        raise TrainingError("precision fp16 needs a GPU; on a CPU use --precision no or bf16")
