import os
import signal

import pytest
import torch

from tests.training.conftest import run
from tests.training.trainer.test_trainer import losses
from training.errors import TrainingError
from training.runtime.guards import catch_stop_signals
from training.runtime.throughput import Throughput
from training.trainer.config import TrainingConfig
from training.trainer.setup import sentence_for_out_of_memory
from training.trainer.trainer import Trainer


@pytest.mark.parametrize(
    ("config", "advice"),
    [
        (TrainingConfig(precision="no"), "--gradient-checkpointing or --precision bf16 or --micro-batch 8"),
        (TrainingConfig(micro_batch=1, gradient_checkpointing=True), "use a GPU with more memory"),
    ],
)  # fmt: skip
def test_out_of_memory_says_what_to_turn_on(config, advice):
    with pytest.raises(TrainingError, match=advice), sentence_for_out_of_memory(config):
        raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_is_a_wish_that_is_noted_and_handlers_come_back(signum):
    before = signal.getsignal(signum)
    with catch_stop_signals() as stop:
        assert not stop.received
        os.kill(os.getpid(), signum)
        assert stop.received
    assert signal.getsignal(signum) is before


def test_operations_are_counted_on_the_first_batch_and_no_batch_is_lost(small_shards, tmp_path, quick):
    trainer = Trainer(quick(), str(small_shards), tmp_path)
    throughput = Throughput(torch.device("cpu"), "no")
    throughput.peak_flops = 1e12  # As of a device that the table knows; this one is not in it.
    with trainer.stream:
        batches = trainer._tell_flops(iter(trainer.stream), throughput)
        first = next(batches)
    assert first.positions.tolist() == list(range(8))
    assert 1e8 < throughput.flops_per_sample < 1e12
    assert all(parameter.grad is None for parameter in trainer.model.parameters())


@pytest.mark.parametrize("fields", [{"gradient_checkpointing": True}, {"snr_gamma": 5.0}])
def test_checkpointing_changes_no_loss_and_snr_weights_lower_it(small_shards, tmp_path, quick, fields):
    Trainer(quick(max_steps=2), str(small_shards), tmp_path / "plain").train()
    Trainer(quick(max_steps=2, **fields), str(small_shards), tmp_path / "other").train()
    plain, other = losses(tmp_path / "plain"), losses(tmp_path / "other")
    if "gradient_checkpointing" in fields:
        assert other == pytest.approx(plain, abs=1e-5)
    else:
        assert other < plain


@pytest.mark.slow
def test_bf16_trains_to_about_the_same_losses(small_shards, tmp_path):
    for precision in ("no", "bf16"):
        options = ("--max-steps", 2, "--precision", precision, "--validate-every", 0)
        ended = run("train", small_shards, "--preset", "tiny", "--out", tmp_path / precision, *options)
        assert ended.returncode == 0, ended.stderr
    assert losses(tmp_path / "bf16") == pytest.approx(losses(tmp_path / "no"), abs=0.05)
