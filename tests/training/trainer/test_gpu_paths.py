"""What runs on a GPU alone, executed without one: fp16's scaler on the CPU, the step on fake tensors.

`make gpu-check` runs the real thing where there is a GPU.
"""

import copy
import dataclasses
from typing import get_args

import pytest
import torch
from accelerate import Accelerator
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.training.helpers import read_losses
from tests.training.trainer.helpers import have_same_weights
from training.data import Batch
from training.model.config import ModelConfig, Variant
from training.trainer import trainer as trainer_module
from training.trainer.loss_step import LossStep
from training.trainer.setup import build_parts, load_perceptual, place_frozen_parts
from training.trainer.trainer import Trainer

CPU = torch.device("cpu")
OTHER = torch.device("meta")
"""Fake tensors on it refuse tensors of the CPU. Those on `cuda` cannot be indexed where torch is built without CUDA."""

INITIAL_SCALE, BACKOFF = 2.0**40, 2.0**-12


class CpuScaling(Accelerator):
    """Scales the losses of fp16 on the CPU, as on a GPU, from a scale with which gradients overflow."""

    def __init__(self, **options):
        """Add what accelerate adds on a GPU only."""
        super().__init__(**options)
        self.native_amp = True
        self.scaler = torch.amp.GradScaler("cpu", init_scale=INITIAL_SCALE, backoff_factor=BACKOFF)


@pytest.fixture
def fp16(monkeypatch, make_config, any_precision):
    """A config in fp16, which a CPU takes for this test."""
    monkeypatch.setattr(trainer_module, "check_precision", lambda precision, device: None)
    monkeypatch.setattr(trainer_module, "Accelerator", CpuScaling)
    return make_config(precision="fp16", global_batch=2, micro_batch=1, max_steps=4)


def test_steps_that_overflow_in_fp16_are_skipped_and_lower_the_scale_which_is_resumed(few_shards, tmp_path, fp16):
    trainer = Trainer(fp16, str(few_shards), tmp_path / "whole")
    before = copy.deepcopy(trainer.model.state_dict())
    trainer.train(num_steps=1)
    assert trainer.accelerator.scaler.get_scale() == INITIAL_SCALE * BACKOFF
    weights = dict(trainer.model.named_parameters())
    assert all(torch.equal(weights[name], before[name]) for name in weights)
    trainer.train(num_steps=3)
    assert not any(torch.equal(weights[name], before[name]) for name in weights if name.startswith("unet.conv_out"))
    scale = trainer.accelerator.scaler.get_scale()
    for num_steps in (1, 1, 2):
        trainer = Trainer(fp16, str(few_shards), tmp_path / "parts")
        trainer.train(num_steps=num_steps)
    assert trainer.accelerator.scaler.get_scale() == scale
    assert read_losses(tmp_path / "parts") == read_losses(tmp_path / "whole")
    assert have_same_weights(tmp_path / "parts", tmp_path / "whole")


SPARING = {"channels_last": True, "gradient_checkpointing": True, "snr_gamma": 5.0}


@pytest.mark.parametrize(("variant", "fields"), [("full", {}), *((variant, SPARING) for variant in get_args(Variant))])
def test_no_tensor_of_the_step_is_on_another_device(variant, fields, make_config):
    config = make_config(model=ModelConfig(variant=variant), **fields)
    parts, perceptual = build_parts(config), load_perceptual(config, print)
    loss_step = LossStep(config, place_frozen_parts(parts, config, CPU), perceptual, CPU)
    inputs = loss_step.prepare(make_batch())
    with FakeTensorMode(allow_non_fake_inputs=True):
        for module in filter(None, (parts.model, parts.vae, parts.text_encoder, perceptual)):
            module._apply(fake)
        for name, value in vars(loss_step).items():
            setattr(loss_step, name, move(value))
        losses = loss_step(parts.model.train(), move(inputs))
        losses.total.sum().backward()
        gradients = [weight.grad for weight in parts.model.trained_parameters()]
    assert all(gradient is not None and gradient.device.type == OTHER.type for gradient in gradients)
    assert all(value.device.type == OTHER.type for value in losses.by_name().values())


def make_batch():
    pictures = torch.zeros(2, 3, 128, 128, dtype=torch.uint8)
    return Batch(
        keys=["a", "b"],
        captions=["one", "two"],
        motion_px=torch.tensor([2.0, 19.0]),
        positions=torch.arange(2),
        flipped=torch.zeros(2, dtype=torch.bool),
        source=pictures,
        target=pictures,
    )


def fake(tensor):
    """Return a tensor of the same shape on another device, of which only shapes, types and devices are computed."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=OTHER)


def move(value):
    """Replace each tensor in a dataclass by a fake one."""
    if isinstance(value, torch.Tensor):
        return fake(value)
    if not dataclasses.is_dataclass(value):
        return value
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return dataclasses.replace(value, **{name: move(field) for name, field in fields.items()})


@pytest.mark.slow
def test_compiled_step_gives_the_same_losses_and_gradients(few_shards, tmp_path, make_config, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    for is_compiled in (False, True):
        Trainer(make_config(max_steps=3, compile=is_compiled), str(few_shards), tmp_path / str(is_compiled)).train()
    for name in ("loss", "grad_norm"):
        plain, compiled = (read_losses(tmp_path / folder, name) for folder in ("False", "True"))
        assert compiled == pytest.approx(plain, rel=1e-4)
