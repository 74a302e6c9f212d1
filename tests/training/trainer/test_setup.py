import os
import signal
from dataclasses import replace

import pytest
import torch

from tests.training.helpers import read_losses, run_command
from training.errors import TrainingError
from training.model.config import ModelConfig
from training.runtime.guards import catch_stop_signals
from training.runtime.throughput import Throughput
from training.trainer.config import TrainingConfig, tiny
from training.trainer.setup import advise_on_memory, load_perceptual
from training.trainer.trainer import Trainer


@pytest.mark.parametrize(
    ("config", "advice"),
    [
        (TrainingConfig(precision="no"), "--gradient-checkpointing or --precision bf16 or --micro-batch 8"),
        (TrainingConfig(micro_batch=1, gradient_checkpointing=True), "use a GPU with more memory"),
    ],
)  # fmt: skip
def test_out_of_memory_errors_name_the_options_that_help(config, advice):
    with pytest.raises(TrainingError, match=advice), advise_on_memory(config):
        raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1])
def test_stop_signals_are_recorded_and_handlers_restored(signum):
    before = signal.getsignal(signum)
    with catch_stop_signals() as stop:
        assert not stop.received
        os.kill(os.getpid(), signum)
        assert stop.received
    assert signal.getsignal(signum) is before


def test_flops_are_counted_on_the_first_batch_and_no_batch_is_lost(small_shards, tmp_path, make_config):
    trainer = Trainer(make_config(), str(small_shards), tmp_path)
    throughput = Throughput(torch.device("cpu"), "no")
    throughput.peak_flops = 1e12  # As on a GPU whose peak is known.
    with trainer.stream:
        batches = trainer.start_prefetch(2, throughput)
        assert [inputs.positions for inputs in batches] == [tuple(range(8)), tuple(range(8, 16))]
    assert 1e8 < throughput.flops_per_sample < 1e12
    assert all(parameter.grad is None for parameter in trainer.model.parameters())


@pytest.mark.parametrize(
    ("config", "num_notes"),
    [
        (replace(tiny(), pretrained="folder"), 1),
        (tiny(), 0),
        (replace(tiny(), pretrained="folder", model=ModelConfig(variant="base")), 0),
    ],
)
def test_random_perceptual_weights_beside_a_pretrained_model_are_noted(config, num_notes):
    notes = []
    load_perceptual(config, notes.append)
    assert [note for note in notes if "random weights" in note and "--perceptual-weights" in note] == notes
    assert len(notes) == num_notes


@pytest.mark.parametrize("fields", [{"gradient_checkpointing": True}, {"snr_gamma": 5.0}])
def test_gradient_checkpointing_keeps_losses_and_snr_weights_lower_them(small_shards, tmp_path, make_config, fields):
    Trainer(make_config(max_steps=2), str(small_shards), tmp_path / "plain").train()
    Trainer(make_config(max_steps=2, **fields), str(small_shards), tmp_path / "other").train()
    plain, other = read_losses(tmp_path / "plain"), read_losses(tmp_path / "other")
    if "gradient_checkpointing" in fields:
        assert other == pytest.approx(plain, abs=1e-5)
    else:
        assert other < plain


@pytest.mark.slow
def test_bf16_gives_about_the_same_losses(small_shards, tmp_path):
    for precision in ("no", "bf16"):
        options = ("--max-steps", 2, "--precision", precision, "--validate-every", 0)
        result = run_command("train", small_shards, "--preset", "tiny", "--out", tmp_path / precision, *options)
        assert result.returncode == 0, result.stderr
    assert read_losses(tmp_path / "bf16") == pytest.approx(read_losses(tmp_path / "no"), abs=0.05)


def test_z_w_is_compared_with_the_source_or_the_target(small_shards, tmp_path, make_config):
    """At step 0 z_W is the source up to rounding. Where the image is dropped, there is no loss."""
    losses = {}
    for reference in ("source", "target"):
        config = make_config(perceptual_reference=reference)
        trainer = Trainer(config, str(small_shards), tmp_path / reference)
        with trainer.stream:
            inputs = trainer.loss_step.prepare(next(iter(trainer.stream)))
        with torch.no_grad():
            losses[reference] = trainer.loss_step(trainer.model, inputs).perceptual
    assert losses["source"].max() < 1e-6
    dropped = (inputs.noise.condition >= 0.05) & (inputs.noise.condition < 0.15)
    assert torch.equal(losses["target"] > 1e-3, ~dropped)
