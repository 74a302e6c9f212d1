"""Exponential moving average (EMA) of the trained weights."""

import contextlib
from collections.abc import Iterator

import torch
from diffusers.training_utils import EMAModel

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
