"""Guards of a training run: folders of others, non-finite losses, stop signals, out of memory."""

import contextlib
import dataclasses
import json
import math
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

import torch

from shards.storage.atomic import write_atomically
from shards.storage.ownership import OutputKind, describe_conflict, find_link, list_entries, read_record
from training.errors import TrainingError

_OTHER_OUTPUTS = ("dataset.json", "latents.json")


def check_run_folder(out: Path, kind: OutputKind) -> None:
    """Raise TrainingError if a run in `out` would replace or delete files that no such run wrote.

    Other files may be there, such as a scheduler's log, but no data set and no latent cache.
    """

    def is_begun() -> bool:
        checkpoints = list_entries(out / "checkpoints")
        return any({"format", "order", "files"} <= read_record(path / "checkpoint.json").keys() for path in checkpoints)

    if conflict := describe_conflict(out, kind, is_begun, beside=True):
        raise TrainingError(f"--out {out} {conflict}")
    if output := next((name for name in _OTHER_OUTPUTS if (out / name).exists()), None):
        raise TrainingError(f"--out {out} holds {output}, so it is no {kind.name}; choose another folder")
    if link := find_link([out / name for name in kind.entries]):
        raise TrainingError(f"{link} is a symbolic link; name an --out without links in it")


def check_finite_loss(
    values: Mapping[str, float], step: int, positions: Sequence[int] = (), record: Path | None = None
) -> None:
    """Raise TrainingError if a loss or gradient norm of `step` is NaN or infinite.

    Call it before the optimizer steps, so that no weight and no checkpoint is affected. `positions` of the step's
    samples are written to `record`, as JSON, for finding the cause.
    """
    names = [name for name, value in values.items() if not math.isfinite(value)]
    if not names:
        return
    samples = ""
    if record is not None:
        with write_atomically(record) as temporary:
            temporary.write_text(json.dumps({"step": step, "positions": list(positions), "not_a_number": names}))
        samples = f" ({record} lists its samples)"
    raise TrainingError(
        f"the {'loss' if 'loss' in names else 'gradient'} is not a number at step {step}{samples}; resume from the "
        "last checkpoint with a lower --learning-rate, --max-grad-norm 1 or --precision bf16"
    )


@dataclasses.dataclass
class StopRequest:
    """Whether a signal has asked the run to stop."""

    received: bool = False


@contextlib.contextmanager
def catch_stop_signals() -> Iterator[StopRequest]:
    """Record SIGTERM and SIGUSR1 instead of dying, so that the run can end after the current step.

    Slurm sends SIGUSR1 before it kills a job.
    """
    request = StopRequest()

    def receive(signum: int, frame: FrameType | None) -> None:
        request.received = True

    previous = {signum: signal.signal(signum, receive) for signum in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield request
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def explain_out_of_memory(work: str, options: Mapping[str, bool]) -> Iterator[None]:
    """Turn the device's out-of-memory error into TrainingError with advice.

    `work` is what did not fit. `options` maps command-line options to whether they would still save memory.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        helpful = [option for option, saves_memory in options.items() if saves_memory]
        advice = f"turn on {' or '.join(helpful)}" if helpful else "use a GPU with more memory"
        raise TrainingError(f"the device is out of memory at {work}; {advice}") from error
