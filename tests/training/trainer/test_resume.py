"""A run that stops, by a signal or a limit, and goes on."""

import os
import signal
import time

import pytest

from tests.training.helpers import read_losses, train_arguments
from tests.training.trainer.helpers import have_same_weights
from training.checkpoint.checkpoint import load_checkpoint
from training.trainer.trainer import Trainer


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(
    few_shards, tmp_path, make_config, uninterrupted, num_workers
):
    config = make_config(max_steps=10, num_workers=num_workers)
    for steps in (3, 4, 3):
        Trainer(config, str(few_shards), tmp_path).train(num_steps=steps)
    assert len(read_losses(tmp_path)) == 10
    assert read_losses(tmp_path) == read_losses(uninterrupted)
    assert have_same_weights(tmp_path, uninterrupted)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_a_checkpoint_and_stops_the_run(small_shards, tmp_path, fork_command, signum):
    command = fork_command(*train_arguments(small_shards, tmp_path, **{"max-steps": 100_000}))
    deadline = time.monotonic() + 60
    while not ((tmp_path / "metrics.jsonl").exists() and len(read_losses(tmp_path)) >= 2):
        assert time.monotonic() < deadline
        assert command.process.is_alive(), command.errors.read_text()[-2000:]
        time.sleep(0.1)
    os.kill(command.process.pid, signum)
    result = command.wait()
    assert result.returncode == 0, result.stderr
    step = load_checkpoint(max((tmp_path / "checkpoints").iterdir())).state.step
    assert step == len(read_losses(tmp_path))
    assert f"Step {step} of 100000" in result.stdout
