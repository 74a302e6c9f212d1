"""AdamW with moments in 8 bits, and averaged weights in the CPU's memory."""

import sys
from importlib.util import find_spec

import pytest
import torch

from tests.training.trainer.helpers import have_same_weights
from training.errors import TrainingError
from training.trainer.setup import make_optimizer
from training.trainer.trainer import Trainer


def test_a_missing_bitsandbytes_is_one_sentence(monkeypatch, make_config):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    with pytest.raises(TrainingError, match=r"needs bitsandbytes; install it with pip install 'pix2gif\[adamw-8bit\]'"):
        make_optimizer(make_config(optimizer="adamw-8bit"), parameters)
    assert make_optimizer(make_config(adam_beta2=0.95), parameters).defaults["betas"] == (0.9, 0.95)


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="needs the extra adamw-8bit")
def test_a_resumed_run_with_moments_in_8_bits_equals_an_uninterrupted_one(few_shards, tmp_path, make_config):
    config = make_config(max_steps=3, optimizer="adamw-8bit")
    whole = Trainer(config, str(few_shards), tmp_path / "whole")
    whole.train()
    moments = {moment.dtype for state in whole.optimizer.state.values() for moment in (state["state1"],)}
    assert torch.uint8 in moments
    for _ in range(2):
        Trainer(config, str(few_shards), tmp_path / "parts").train(num_steps=2)
    assert have_same_weights(tmp_path / "whole", tmp_path / "parts")


def test_averaged_weights_on_the_cpu_are_those_on_the_device(few_shards, tmp_path, make_config):
    for name in ("device", "cpu"):
        Trainer(make_config(max_steps=2, ema_on_cpu=name == "cpu"), str(few_shards), tmp_path / name).train()
    assert have_same_weights(tmp_path / "device", tmp_path / "cpu")
