"""Config -> the parts of a run, and what must hold before anything costly begins."""

import contextlib
import dataclasses
import json
import math
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import diffusers.utils.logging
import huggingface_hub.utils.logging
import torch
import transformers.utils.logging

from shards.atomic import write_atomically
from training.config import TrainingConfig
from training.data import DataConfig
from training.errors import TrainingError
from training.model.factory import Components, build_from_stable_diffusion, build_random
from training.model.perceptual import PerceptualLoss

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def quieten_libraries() -> None:
    """Keep diffusers, transformers and the hub from drawing bars and notes among a run's own lines."""
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    huggingface_hub.utils.logging.set_verbosity_error()  # It tells each time that it tries again.


def build_parts(config: TrainingConfig) -> Components:
    """Load or make the model and the frozen parts around it. Raises ModelError where there are no weights."""
    if config.pretrained is not None:
        return build_from_stable_diffusion(config.pretrained, config.model, vae=config.autoencoder)
    return build_random(config.model, size=config.random_size, seed=config.seed)


def load_perceptual(config: TrainingConfig) -> PerceptualLoss | None:
    """Load VGG19 for the variants whose loss needs it; random weights only where the config says so."""
    if not config.model.has_perceptual_loss:
        return None
    if config.perceptual_weights is None:
        return PerceptualLoss.random(config.seed)
    return PerceptualLoss.from_weights(config.perceptual_weights)


def make_data_config(config: TrainingConfig, location: str) -> DataConfig:
    """Say what the run reads. Raises DataError where that cannot be."""
    return DataConfig(
        location=location,
        seed=config.seed,
        global_batch=config.global_batch,
        micro_batch=config.micro_batch,
        num_workers=config.num_workers,
        resolution=config.resolution,
        flip=config.flip,
        cache=Path(config.cache) if config.cache else None,
        window_shards=config.window_shards,
        on_damage=config.on_damage,
        pin_memory=torch.cuda.is_available(),
    )


def choose_kernels(config: TrainingConfig) -> None:
    """Let a GPU try which kernels are fastest, as the shapes of all steps are alike; a CPU is left alone.

    Where products are in half precision, those that are left in float32 may be rounded to TF32.
    """
    if torch.cuda.is_available():
        torch.backends.cudnn.benchmark = True
        if config.precision != "no":
            torch.set_float32_matmul_precision("high")


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
def sentence_for_out_of_memory(config: TrainingConfig) -> Iterator[None]:
    """Turn out-of-memory of the device into a sentence that says what to turn on."""
    hints = {
        "--gradient-checkpointing": not config.gradient_checkpointing,
        "--precision bf16": config.precision == "no",
        f"--micro-batch {config.micro_batch // 2}": config.micro_batch > 1,
    }
    with advice_for_out_of_memory(f"a micro-batch of {config.micro_batch}", hints):
        yield


@contextlib.contextmanager
def advice_for_out_of_memory(tried: str, hints: Mapping[str, bool]) -> Iterator[None]:
    """Turn out-of-memory of the device into a sentence; `hints` are options, and whether each would help."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        helping = [hint for hint, helps in hints.items() if helps]
        advice = f"turn on {' or '.join(helping)}" if helping else "use a larger card"
        raise TrainingError(f"the device is out of memory at {tried}; {advice}") from error
