"""How many floating point operations a step takes: matrix products and convolutions, a multiply-add as two."""

from collections.abc import Callable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from training.data import Batch, LatentBatch
from training.model.pix2gif import Pix2Gif
from training.trainer.loss_step import LossStep


def count_sample_flops(model: Pix2Gif, loss_step: LossStep, batch: Batch | LatentBatch) -> int:
    """Count one sample's operations, forward and backward, what is frozen included; gradients are left empty."""
    inputs = loss_step.prepare(batch.head(1))
    checkpointing = model.unet.is_gradient_checkpointing

    def once() -> None:
        loss_step(model, inputs).total.sum().backward()

    # What is compiled is not seen, and what checkpointing computes again is no work of the model's.
    with torch.compiler.set_stance("force_eager"):
        model.unet.disable_gradient_checkpointing()
        flops = measure_flops(once)
        if checkpointing:
            model.enable_gradient_checkpointing()
    model.zero_grad(set_to_none=True)
    return flops


def measure_flops(forward_and_backward: Callable[[], object]) -> int:
    """Return the floating point operations of a call: matrix products and convolutions, a multiply-add as two.

    Attention is counted by its products, so alike on every device and with every kernel. Call it with the plain model:
    what torch.compile made is not seen, what gradient checkpointing repeats is counted twice.
    """
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        forward_and_backward()
    return counter.get_total_flops()
