"""Exponential moving average (EMA) of the trained weights."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor

from training.model.pix2gif import Pix2Gif


@contextlib.contextmanager
def averaged_weights(model: Pix2Gif, ema: EMAModel) -> Iterator[None]:
    """Swap the averaged weights into the model, in evaluation mode and uncompiled, for the duration of the block."""
    parameters = model.trained_parameters()
    ema.store(parameters)
    ema.copy_to(parameters)
    model.eval()
    try:
        # Generation has other shapes than training. Compiling for each would take longer than it saves.
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        ema.restore(parameters)
        model.train()


def make_ema(model: Pix2Gif, *, decay: float, on_cpu: bool) -> EMAModel:
    """Return averaged weights that start at the model's, on its device or the CPU."""
    ema = EMAModel(model.trained_parameters(), decay=decay, foreach=True)
    if on_cpu:
        ema.to("cpu")
    return ema


def step_ema(ema: EMAModel, model: Pix2Gif, *, on_cpu: bool) -> None:
    """Move the averaged weights towards those of the model; with `on_cpu`, on the model's device and back."""
    parameters = model.trained_parameters()
    if on_cpu:
        ema.to(parameters[0].device)
    ema.step(parameters)
    if on_cpu:
        ema.to("cpu")


def restore_ema(ema: EMAModel, state: Mapping[str, Any], averaged: Mapping[str, Tensor]) -> None:
    """Restore the averaged weights of a checkpoint, in the memory format and on the device of `ema`, whose decay stays.

    `averaged` holds the weights under their numbers, as `number_weights` names them.
    """
    ema.load_state_dict({**state, "decay": ema.decay})
    with torch.no_grad():
        for shadow, saved in zip(ema.shadow_params, (averaged[name] for name in sorted(averaged)), strict=True):
            shadow.copy_(saved)


def number_weights(ema: EMAModel) -> dict[str, Tensor]:
    """Return the averaged weights under the numbers of their parameters."""
    return {f"{number:05d}": shadow for number, shadow in enumerate(ema.shadow_params)}
