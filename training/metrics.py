"""What a run tells of itself: metrics by step to files, its speed, and how far it is.

In: numbers by name from the trainer's main process. Out: RUN/metrics.jsonl, RUN/tensorboard, W&B where asked for, and
a bar on a terminal or lines in a log.
"""

import contextlib
import importlib
import json
import math
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, SupportsFloat, TextIO

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from shards.atomic import write_atomically
from training.config import Precision
from training.errors import TrainingError

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"
_WANDB_ID_FILE = "wandb-run-id.txt"
_SECONDS_BETWEEN_LINES = 10.0
_LINE = "{desc}: {n:,} of {total:,}{unit} ({percentage:.0f} %), {rate_noinv_fmt}, {remaining} left"

MatmulPrecision = Literal["bf16", "fp16", "tf32", "fp32"]

_PEAK_TFLOPS: tuple[tuple[str, dict[MatmulPrecision, float]], ...] = (
    # Dense, as in the vendor's data sheets; half precision accumulates in float32. The first that matches counts.
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
_OTHER_CHIPS = re.compile(r"\b(Laptop|Max-Q|MIG|4090 D)\b")
"""Names that contain one of the table's and are slower: notebooks' chips, slices of one."""


class MetricsLog:
    """Metrics by step in RUN/metrics.jsonl (one JSON object a line), RUN/tensorboard and, where asked for, W&B.

    Made on the main process; elsewhere with `enabled=False`, where it does nothing.
    """

    def __init__(
        self,
        run: Path,
        resumed_step: int = 0,
        max_steps: int | None = None,
        *,
        enabled: bool = True,
        wandb_project: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Open the files; what an earlier process told of steps after `resumed_step` is dropped, to be told again.

        With `max_steps` progress is shown as well. W&B, where a project is named, is given `config`. Raises
        TrainingError where W&B is asked for and not installed.
        """
        self._file: TextIO | None = None
        self._tensorboard: SummaryWriter | None = None
        self._wandb: Any = None
        self._bar: ProgressBar | None = None
        if not enabled:
            return
        wandb = _import_wandb() if wandb_project is not None else None
        run.mkdir(parents=True, exist_ok=True)
        _drop_later_lines(run / METRICS_FILE, resumed_step)
        self._file = (run / METRICS_FILE).open("a", encoding="utf-8")
        self._tensorboard = SummaryWriter(str(run / TENSORBOARD_FOLDER), purge_step=resumed_step + 1, flush_secs=30)
        if wandb is not None:
            self._wandb = wandb.init(
                project=wandb_project, dir=str(run), config=dict(config or {}), id=_wandb_id(run), resume="allow"
            )
            # W&B's own step may not go back; a resumed run's does.
            self._wandb.define_metric("*", step_metric="step")
        if max_steps is not None:
            self._bar = ProgressBar(max_steps, done=resumed_step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(failed=kind is not None)

    def log(self, step: int, **values: SupportsFloat) -> None:
        """Tell the values of a step: numbers or tensors of one element. In the JSON, null stands for NaN and infinity.

        The line has reached the file, though perhaps not the disk, when this returns.
        """
        if self._file is None or self._tensorboard is None:
            return
        numbers = {name: value if isinstance(value, int) else float(value) for name, value in values.items()}
        finite = {name: number if math.isfinite(number) else None for name, number in numbers.items()}
        line = {"step": step, "unix_time_s": round(time.time(), 3), **finite}
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()
        for name, number in numbers.items():
            self._tensorboard.add_scalar(name, number, step)
        if self._wandb is not None:
            self._wandb.log({"step": step, **numbers})

    def progress(self, step: int, loss: SupportsFloat | None = None) -> None:
        """Show how far the run is."""
        if self._bar is not None:
            self._bar.show(step, **({} if loss is None else {"loss": loss}))

    def say(self, text: str) -> None:
        """Print a line that stays, above the bar where there is one; on the main process only."""
        if self._file is not None:
            tqdm.write(text, file=sys.stderr)
            sys.stderr.flush()

    def close(self, *, failed: bool = False) -> None:
        """Bring all that was told to where it goes. Nothing is told afterwards."""
        if self._bar is not None:
            self._bar.close()
        if self._file is not None:
            self._file.close()
        if self._tensorboard is not None:
            self._tensorboard.close()
        if self._wandb is not None:
            self._wandb.finish(exit_code=int(failed))
        self._file = self._tensorboard = self._wandb = self._bar = None


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
        self.flops_per_sample = flops_per_sample
        """Of one sample, forward and backward, as `measure_flops` returns them; None tells no MFU."""
        peak_flops = _peak_flops_of(device, precision)
        self.peak_flops = None if peak_flops is None else peak_flops * num_devices
        """Of all devices, FLOP/s; None where it is not known."""
        self._reset()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Time the wait for the next batch."""
        start = time.perf_counter()
        try:
            yield
        finally:
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


def measure_flops(forward_and_backward: Callable[[], object]) -> int:
    """Return the floating point operations of a call: matrix products and convolutions, a multiply-add as two.

    Attention is counted by its products, so alike on every device and with every kernel. Call it with the plain model:
    what torch.compile made is not seen, what gradient checkpointing repeats is counted twice.
    """
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        forward_and_backward()
    return counter.get_total_flops()


def find_peak_flops(device_name: str, precision: MatmulPrecision) -> float | None:
    """Return the dense peak in FLOP/s of a device as torch.cuda.get_device_name names it; None where it is unknown."""
    if _OTHER_CHIPS.search(device_name):
        return None
    for pattern, peaks in _PEAK_TFLOPS:
        if re.search(rf"\b(?:{pattern})\b", device_name):
            return peaks[precision] * 1e12 if precision in peaks else None
    return None


class ProgressBar:
    """How far a run is, with an estimate: a bar on a terminal, a line now and then in a log."""

    def __init__(self, total: int, *, done: int = 0, name: str = "train", unit: str = "steps") -> None:
        """Begin at `done` of `total`; the estimate is made of what is done from here on."""
        self._name, self._total, self._unit = name, total, f" {unit}"
        self._first = done
        self._start_s = self._printed_s = time.monotonic()
        self._bar: tqdm[Any] | None = None
        if sys.stderr.isatty():
            self._bar = tqdm(desc=name, total=total, initial=done, unit=self._unit, dynamic_ncols=True)

    def show(self, done: int, **values: SupportsFloat) -> None:
        """Tell that it is at `done`, and what is to be read beside it (loss=0.123)."""
        told = ", ".join(f"{name} {float(value):.4g}" for name, value in values.items())
        if self._bar is not None:
            self._bar.set_postfix_str(told, refresh=False)
            self._bar.update(done - self._bar.n)
        elif time.monotonic() - self._printed_s >= _SECONDS_BETWEEN_LINES or done >= self._total:
            self._print(done, told)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()

    def _print(self, done: int, told: str) -> None:
        self._printed_s = time.monotonic()
        line = tqdm.format_meter(
            done,
            self._total,
            self._printed_s - self._start_s,
            prefix=self._name,
            unit=self._unit,
            bar_format=_LINE,
            initial=self._first,
        )
        print(f"{line}, {told}" if told else line, file=sys.stderr, flush=True)


def _peak_flops_of(device: torch.device, precision: Precision) -> float | None:
    if device.type != "cuda":
        return None
    matmul: MatmulPrecision = precision if precision != "no" else "tf32" if _uses_tf32() else "fp32"
    return find_peak_flops(torch.cuda.get_device_name(device), matmul)


def _uses_tf32() -> bool:
    return torch.get_float32_matmul_precision() != "highest"


def _drop_later_lines(path: Path, step: int) -> None:
    """Keep the lines up to this step, each step once; a line that a killed run left half written goes as well."""
    if not path.exists():
        return
    kept: dict[int, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line_step = json.loads(line)["step"]
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(line_step, int) and line_step <= step:
            kept[line_step] = line
    with write_atomically(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in kept.values()), encoding="utf-8")


def _import_wandb() -> Any:
    try:
        return importlib.import_module("wandb")
    except ImportError as error:
        raise TrainingError("W&B was asked for and is not installed: pip install wandb, or leave it out") from error


def _wandb_id(run: Path) -> str:
    """Return the id under which W&B knows this run, so that a resumed one goes on in the same plots."""
    path = run / _WANDB_ID_FILE
    if not path.exists():
        with write_atomically(path) as temporary:
            temporary.write_text(secrets.token_hex(4), encoding="utf-8")
    return path.read_text(encoding="utf-8")
