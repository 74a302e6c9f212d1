"""Several processes share each global batch: under torchrun, and forked with the variables that torchrun sets."""

import pytest

from tests.training.helpers import read_losses, run_command, run_ranks, train_arguments
from tests.training.trainer.helpers import have_same_weights
from training.trainer.trainer import Trainer

NUM_STEPS = 6


@pytest.fixture(scope="module")
def two_processes(few_shards, tmp_path_factory):
    """Run two processes under torchrun without a stop."""
    out = tmp_path_factory.mktemp("two") / "run"
    result = run_command(*make_arguments(few_shards, out, **{"num-workers": 1}), processes=2)
    assert result.returncode == 0, result.stderr[-3000:]
    assert f"Step {NUM_STEPS} of {NUM_STEPS} on 2 processes" in result.stdout
    return out


@pytest.fixture
def run_processes(few_shards, fork_command):
    """Return a function that runs forked processes: each shares the batch, and saves the seconds of importing torch."""

    def run(out, num_processes, max_steps, **options):
        words = make_arguments(few_shards, out, **{"max-steps": max_steps, **options})
        results = run_ranks(fork_command, num_processes, *words)
        assert f"Step {max_steps} of {max_steps} on {num_processes} processes" in results[0].stdout

    return run


def make_arguments(shards, out, **options):
    return train_arguments(shards, out, **{"micro-batch": 2, "max-steps": NUM_STEPS, **options})


def test_losses_do_not_depend_on_the_number_of_processes(tmp_path, uninterrupted, two_processes, run_processes):
    run_processes(tmp_path / "4", 4, NUM_STEPS)
    assert len(read_losses(uninterrupted)) == NUM_STEPS
    for out in (two_processes, tmp_path / "4"):
        assert read_losses(out) == pytest.approx(read_losses(uninterrupted), abs=1e-4)


def test_a_resumed_run_of_two_processes_equals_an_uninterrupted_one_to_the_bit(tmp_path, two_processes, run_processes):
    # The schedule does not depend on max_steps, so a shorter run takes the same steps.
    for max_steps in (3, NUM_STEPS):
        run_processes(tmp_path / "run", 2, max_steps)
    assert read_losses(tmp_path / "run") == read_losses(two_processes)
    assert have_same_weights(tmp_path / "run", two_processes)


def test_losses_of_the_flow_warm_up_do_not_depend_on_the_number_of_processes(
    few_shards, tmp_path, run_processes, make_config
):
    config = make_config(max_steps=4, flow_warmup_steps=3, micro_batch=2)
    Trainer(config, str(few_shards), tmp_path / "1").train()
    run_processes(tmp_path / "2", 2, 4, **{"flow-warmup-steps": 3})
    assert read_losses(tmp_path / "2") == pytest.approx(read_losses(tmp_path / "1"), rel=1e-4)
