"""What a run tells of itself: metrics by step to files and, where asked for, to W&B, and how far it is.

In: numbers by name from the trainer's main process. Out: RUN/metrics.jsonl, RUN/tensorboard, W&B where asked for, and
a bar on a terminal or lines in a log.
"""

import importlib
import json
import math
import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, SupportsFloat, TextIO

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from shards.atomic import write_atomically
from shards.progress import ProgressBar
from training.errors import TrainingError

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"
_WANDB_ID_FILE = "wandb-run-id.txt"


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
            self._bar = ProgressBar("train", max_steps, "steps", num_before=resumed_step)

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
            self._bar.update(step - self._bar.num_done, **({} if loss is None else {"loss": loss}))

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
