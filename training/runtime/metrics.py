"""Metrics of a run by step: RUN/metrics.jsonl, RUN/tensorboard, optionally W&B, and a progress bar."""

import importlib
import json
import math
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, SupportsFloat, TextIO

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from shards.interface.progress import ProgressBar
from shards.json_fields import load_json
from shards.storage.atomic import write_atomically
from training.errors import TrainingError

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"
_WANDB_ID_FILE = "wandb-run-id.txt"
METRICS_ENTRIES = (METRICS_FILE, TENSORBOARD_FOLDER, _WANDB_ID_FILE, "wandb")
"""Names in the run's folder that metrics are written under."""


class MetricsLog:
    """Writes metrics by step. Only the main process of a run writes; others pass `enabled=False`."""

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
        """Open the files of the folder `run`, and drop what an earlier process wrote after `resumed_step`.

        A progress bar is shown if `max_steps` is given. W&B, if `wandb_project` is given, records `config`. Raises
        TrainingError if W&B is requested but not installed.
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
            # W&B's own step cannot go back, but that of a resumed run does.
            self._wandb.define_metric("*", step_metric="step")
        if max_steps is not None:
            self._bar = ProgressBar("train", max_steps, "steps", num_before=resumed_step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(failed=kind is not None)

    def log(self, step: int, **values: SupportsFloat) -> None:
        """Write the values of a step: numbers or one-element tensors. NaN and infinity are null in the JSON.

        The line is flushed to the file, but not synced to disk.
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

    def log_picture(self, step: int, name: str, path: Path) -> None:
        """Show a PNG of a step in TensorBoard and W&B."""
        if self._tensorboard is None:
            return
        with Image.open(path, formats=["PNG"]) as picture:
            self._tensorboard.add_image(name, np.asarray(picture.convert("RGB")), step, dataformats="HWC")
        if self._wandb is not None:
            self._wandb.log({"step": step, name: _import_wandb().Image(str(path))})

    def show_progress(self, step: int, loss: SupportsFloat) -> None:
        """Move the progress bar to `step`."""
        if self._bar is not None:
            self._bar.update(step - self._bar.num_done, loss=loss)

    def close(self, *, failed: bool = False) -> None:
        """Flush and close everything."""
        if self._bar is not None:
            self._bar.close()
        if self._file is not None:
            self._file.close()
        if self._tensorboard is not None:
            self._tensorboard.close()
        if self._wandb is not None:
            self._wandb.finish(exit_code=int(failed))
        self._file = self._tensorboard = self._wandb = self._bar = None


def _drop_later_lines(path: Path, step: int) -> None:
    """Keep one line for each step up to `step`; drop later ones, and a line that a killed run left incomplete."""
    if not path.exists():
        return
    kept: dict[int, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line_step = load_json(line)["step"]
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
        raise TrainingError("W&B is not installed; run pip install wandb or leave out --wandb-project") from error


def _wandb_id(run: Path) -> str:
    """Return the run's id at W&B, created once, so that a resumed run continues the same plots."""
    path = run / _WANDB_ID_FILE
    if not path.exists():
        with write_atomically(path) as temporary:
            temporary.write_text(secrets.token_hex(4), encoding="utf-8")
    return path.read_text(encoding="utf-8")
