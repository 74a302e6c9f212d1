"""Floating point operations of a step: matrix products and convolutions, a multiply-add counted as two."""

from collections.abc import Callable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from training.data import Batch, LatentBatch
from training.model.pix2gif import Pix2Gif
from training.trainer.loss_step import LossStep


def count_sample_flops(model: Pix2Gif, loss_step: LossStep, batch: Batch | LatentBatch) -> int:
    """Count the FLOPs of one sample, forward and backward, frozen parts included. Clears the gradients."""
    inputs = loss_step.prepare(batch.split(1)[0])
    checkpointing = model.unet.is_gradient_checkpointing
    # FlopCounterMode does not see compiled code, and recomputed activations are not the model's own work.
    with torch.compiler.set_stance("force_eager"):
        model.unet.disable_gradient_checkpointing()
        flops = measure_flops(lambda: loss_step(model, inputs).total.sum().backward())
        if checkpointing:
            model.enable_gradient_checkpointing()
    model.zero_grad(set_to_none=True)
    return flops


def measure_flops(forward_and_backward: Callable[[], object]) -> int:
    """Return the FLOPs of a call.

    Attention is counted as its matrix products, so the result is the same on every device and with every kernel. The
    model must not be compiled; activations recomputed by gradient checkpointing are counted twice.
    """
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        forward_and_backward()
    return counter.get_total_flops()
