"""Launchers other than torchrun: `accelerate launch`, and torchrun on several nodes."""

import socket

import pytest

from tests.training.helpers import BIN, read_losses, run_command, start_command, torchrun, train_arguments

# The quick tests use torchrun already; these start about twenty processes more.
pytestmark = pytest.mark.slow

NUM_STEPS = 5


@pytest.fixture(scope="module")
def arguments(small_shards):
    """Return a function from a run's folder to the arguments of a short run."""
    return lambda out: train_arguments(small_shards, out, **{"micro-batch": 2, "max-steps": NUM_STEPS})


@pytest.fixture(scope="module")
def single_process_losses(arguments, tmp_path_factory):
    out = tmp_path_factory.mktemp("single")
    result = run_command(*arguments(out))
    assert result.returncode == 0, result.stderr[-3000:]
    losses = read_losses(out)
    assert len(losses) == NUM_STEPS
    return losses


def find_free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def test_processes_of_accelerate_launch_share_the_batch(arguments, single_process_losses, tmp_path):
    launcher = [
        *(str(BIN / "accelerate"), "launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no"),
        *("--main_process_port", str(find_free_port()), "--no_python"),
    ]
    result = run_command(*arguments(tmp_path), launcher=launcher)
    assert result.returncode == 0, result.stderr[-3000:]
    assert f"Step {NUM_STEPS} of {NUM_STEPS} on 2 processes" in result.stdout
    assert read_losses(tmp_path) == pytest.approx(single_process_losses, abs=1e-4)


def test_two_nodes_share_the_batch(arguments, single_process_losses, tmp_path):
    rendezvous = ("--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{find_free_port()}", "--rdzv-id", "test")
    launcher = torchrun("--nnodes", "2", "--nproc-per-node", "1", "--local-addr", "127.0.0.1", *rendezvous)
    nodes = [start_command(*arguments(tmp_path), launcher=launcher) for _ in range(2)]
    stdout = ""
    for node in nodes:
        out, errors = node.communicate(timeout=300)
        assert node.returncode == 0, errors[-3000:]
        stdout += out
    assert stdout.count(f"Step {NUM_STEPS} of {NUM_STEPS} on 2 processes") == 1
    assert read_losses(tmp_path) == pytest.approx(single_process_losses, abs=1e-4)
