"""However a run is launched, it is the same run: accelerate's launcher, and several nodes that find each other."""

import socket

import pytest

from tests.training.conftest import BIN, run, start, torchrun
from tests.training.trainer.test_trainer import losses, words

# torchrun is held by the quick tests; this is some twenty processes more.
pytestmark = pytest.mark.slow

NUM_STEPS = 5


@pytest.fixture(scope="module")
def options(small_shards):
    """Give the words of a run of a few steps that writes to a folder."""
    return lambda out: words(small_shards, out, **{"micro-batch": 2, "max-steps": NUM_STEPS})


@pytest.fixture(scope="module")
def alone(options, tmp_path_factory):
    """Give the losses of one process."""
    out = tmp_path_factory.mktemp("alone")
    ended = run(*options(out))
    assert ended.returncode == 0, ended.stderr[-3000:]
    told = losses(out)
    assert len(told) == NUM_STEPS
    return told


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def test_accelerate_launch_starts_processes_that_share_the_batch(options, alone, tmp_path):
    launcher = [
        *(str(BIN / "accelerate"), "launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", str(free_port()), "--no_python"),
    ]
    ended = run(*options(tmp_path), launcher=launcher)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert f"Step {NUM_STEPS} of {NUM_STEPS} on 2 processes" in ended.stdout
    assert losses(tmp_path) == pytest.approx(alone, abs=1e-4)


def test_two_nodes_that_find_each_other_share_the_batch(options, alone, tmp_path):
    meeting = ("--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}", "--rdzv-id", "test")
    launcher = torchrun("--nnodes", "2", "--nproc-per-node", "1", "--local-addr", "127.0.0.1", *meeting)
    nodes = [start(*options(tmp_path), launcher=launcher) for _ in range(2)]
    told = ""
    for node in nodes:
        out, errors = node.communicate(timeout=300)
        assert node.returncode == 0, errors[-3000:]
        told += out
    assert told.count(f"Step {NUM_STEPS} of {NUM_STEPS} on 2 processes") == 1
    assert losses(tmp_path) == pytest.approx(alone, abs=1e-4)
