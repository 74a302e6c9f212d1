"""Looking ahead changes neither what comes nor how much is read, and a bad step reaches no weight."""

import json
import math

import pytest
import torch

from training.errors import TrainingError
from training.runtime.throughput import Throughput
from training.trainer.prefetch import Feed
from training.trainer.trainer import Trainer


def test_every_batch_comes_once_and_in_order_however_often_one_looks_ahead(small_shards, tmp_path, quick):
    trainer = Trainer(quick(), str(small_shards), tmp_path)
    with trainer.stream:
        feed = Feed(iter(trainer.stream), trainer.loss_step, Throughput(torch.device("cpu"), "no"))
        taken = []
        for looks in (0, 1, 2, 0):
            for _ in range(looks):
                feed.look_ahead()
            taken += feed.take().positions
    assert taken == list(range(32))


def test_nothing_is_read_beyond_the_last_step(small_shards, tmp_path, quick):
    trainer = Trainer(quick(max_steps=3), str(small_shards), tmp_path)
    state = trainer.train()
    assert trainer.stream.position == state.position == 24


def test_a_gradient_that_is_no_number_stops_the_run_before_it_reaches_a_weight(small_shards, tmp_path, quick):
    trainer = Trainer(quick(max_steps=3), str(small_shards), tmp_path)
    trainer.train(num_steps=1)
    before = [parameter.clone() for parameter in trainer.model.trained_parameters()]
    trainer.model.unet.conv_out.weight.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(TrainingError, match=r"the gradient is not a number at step 2 \(.*\); resume"):
        trainer.train()
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.trained_parameters(), strict=True))
    note = json.loads((tmp_path / "not-a-number-0.json").read_text())
    assert (note["positions"], note["not_a_number"]) == (list(range(8, 16)), ["grad_norm"])
