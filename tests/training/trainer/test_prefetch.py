import json
import math

import pytest
import torch

from training.errors import TrainingError
from training.runtime.throughput import Throughput
from training.trainer.trainer import Trainer


def test_each_batch_is_returned_once_in_order_however_often_prefetch_is_called(small_shards, tmp_path, make_config):
    trainer = Trainer(make_config(), str(small_shards), tmp_path)
    with trainer.stream:
        batches = trainer.start_prefetch(4, Throughput(torch.device("cpu"), "no"))
        positions = []
        for num_calls in (0, 1, 2, 0):
            for _ in range(num_calls):
                batches.prefetch()
            positions += next(batches).positions
        assert next(batches, None) is None
    assert positions == list(range(32))


def test_nothing_is_read_beyond_the_last_step(small_shards, tmp_path, make_config):
    trainer = Trainer(make_config(max_steps=3), str(small_shards), tmp_path)
    state = trainer.train()
    assert trainer.stream.position == state.position == 24


def test_a_non_finite_gradient_stops_the_run_before_the_weights_change(small_shards, tmp_path, make_config):
    trainer = Trainer(make_config(max_steps=3), str(small_shards), tmp_path)
    trainer.train(num_steps=1)
    before = [parameter.clone() for parameter in trainer.model.trained_parameters()]
    trainer.model.unet.conv_out.weight.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(TrainingError, match=r"the gradient is not a number at step 2 \(.*\); resume"):
        trainer.train()
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.trained_parameters(), strict=True))
    record = json.loads((tmp_path / "not-a-number-0.json").read_text())
    assert (record["positions"], record["not_a_number"]) == (list(range(8, 16)), ["grad_norm"])
