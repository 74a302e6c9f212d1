"""Guards of a training run: the run that OUT holds, finite losses, signals, out of memory."""

import contextlib
import dataclasses
import json
import math
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch

from shards.atomic import write_atomically
from training.errors import TrainingError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


_FIXED = ("model", "random_size", "global_batch", "seed", "flip")
"""What decides the model, or the order of the data."""


def refuse_other_run(
    found: dict[str, Any], config: "DataclassInstance", checkpoint: Path, fixed: Sequence[str] = _FIXED
) -> None:
    """Raise TrainingError where a checkpoint's config differs from this run's in a field of `fixed`."""
    wanted = dataclasses.asdict(config)
    for name in fixed:
        if found.get(name) != wanted[name]:
            raise TrainingError(
                f"{checkpoint} was written with {name} {found.get(name)}, and this run has {wanted[name]}; "
                "use the same, another --out, or --resume none"
            )


def refuse_what_is_no_number(figures: Mapping[str, float], step: int, positions: Sequence[int], note: Path) -> None:
    """Raise TrainingError where a figure of the step after `step` is NaN or infinite, and note its samples in `note`.

    To be asked before the optimizer steps, so that such a step reaches no weight and no checkpoint.
    """
    what, wrong = find_no_number(figures)
    if not wrong:
        return
    with write_atomically(note) as temporary:
        temporary.write_text(json.dumps({"step": step, "positions": list(positions), "not_a_number": wrong}))
    raise TrainingError(
        f"the {what} is not a number at step {step + 1}; the last checkpoint is kept, {note} names the samples: resume "
        "with a lower learning rate, --max-grad-norm 1 or --precision bf16"
    )


def find_no_number(figures: Mapping[str, float]) -> tuple[str, list[str]]:
    """Find the figures that are NaN or infinite: what to call them, loss or gradient, and their names."""
    wrong = [name for name, value in figures.items() if not math.isfinite(value)]
    return "loss" if "loss" in wrong else "gradient", wrong


@dataclasses.dataclass
class Stop:
    """Whether the run was asked to end."""

    asked: bool = False


@contextlib.contextmanager
def stop_signals() -> Iterator[Stop]:
    """Take SIGTERM, and SIGUSR1, which Slurm sends before it kills, as a wish to end after the step under way."""
    stop = Stop()

    def ask(signum: int, frame: FrameType | None) -> None:
        stop.asked = True

    before = {signum: signal.signal(signum, ask) for signum in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def advice_for_out_of_memory(tried: str, hints: Mapping[str, bool]) -> Iterator[None]:
    """Turn out-of-memory of the device into a sentence; `hints` are options, and whether each would help."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        helping = [hint for hint, helps in hints.items() if helps]
        advice = f"turn on {' or '.join(helping)}" if helping else "use a larger card"
        raise TrainingError(f"the device is out of memory at {tried}; {advice}") from error
