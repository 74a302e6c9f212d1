import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from tests.training.helpers import read_losses, run_command, train_arguments
from training.checkpoint.checkpoint import load_checkpoint
from training.data import DataError
from training.errors import TrainingError
from training.model.pipeline import Pix2GifPipeline
from training.trainer.trainer import Trainer

GOLDEN_LOSSES = [1.13264, 1.1189, 1.04741, 0.99486, 0.94077, 0.8651, 0.80888, 0.76751, 0.68072, 0.62396]


def load_latest(out: Path) -> dict[str, dict[str, torch.Tensor]]:
    return load_checkpoint(max((out / "checkpoints").iterdir())).tensors


def have_same_weights(one: Path, other: Path) -> bool:
    first, second = load_latest(one), load_latest(other)
    return first.keys() == second.keys() and all(
        first[part].keys() == second[part].keys()
        and all(torch.equal(first[part][name], second[part][name]) for name in first[part])
        for part in first
    )


def test_ten_losses_of_the_tiny_preset_are_golden(small_shards, tmp_path, make_config):
    Trainer(make_config(max_steps=10), str(small_shards), tmp_path).train()
    assert read_losses(tmp_path) == pytest.approx(GOLDEN_LOSSES, rel=1e-3)


def test_a_run_learns_and_writes_validation_gifs_and_a_model(small_shards, tmp_path, make_config):
    config = make_config(max_steps=30, validate_every=30)
    Trainer(config, str(small_shards), tmp_path).train()
    losses = read_losses(tmp_path)
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    files = sorted(path.name for path in (tmp_path / "validation").iterdir())
    assert files == [f"step-00000030{end}" for end in ("-clip-00.gif", "-clip-01.gif", ".gif", ".png")]
    pipeline = Pix2GifPipeline.from_pretrained(tmp_path / "model")
    ema = load_latest(tmp_path)["ema"]
    saved = pipeline.model.trained_parameters()
    assert all(torch.equal(ema[f"{n:05d}"], parameter) for n, parameter in enumerate(saved))
    written = json.loads((tmp_path / "config.json").read_text())
    assert (written["max_steps"], written["model"]["variant"]) == (30, "full")


@pytest.mark.parametrize("variant", ["base", "motion-embed", "warp", "warp-add", "warp-concat"])
def test_every_variant_trains(small_shards, tmp_path, make_config, variant):
    config = make_config(max_steps=2)
    config = type(config)(**{**vars(config), "model": type(config.model)(variant=variant)})
    state = Trainer(config, str(small_shards), tmp_path).train()
    assert (state.step, state.position) == (2, 16)


@pytest.fixture(scope="module")
def uninterrupted(small_shards, tmp_path_factory, make_config):
    """Run 20 steps in one process without a stop. Step 14 is the last of the first epoch of 110 samples."""
    out = tmp_path_factory.mktemp("uninterrupted")
    Trainer(make_config(max_steps=20), str(small_shards), out).train()
    return out


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(
    small_shards, tmp_path, make_config, uninterrupted, num_workers
):
    config = make_config(max_steps=20, num_workers=num_workers)
    for steps in (5, 10, 5):
        Trainer(config, str(small_shards), tmp_path).train(num_steps=steps)
    assert read_losses(tmp_path) == read_losses(uninterrupted)
    assert have_same_weights(tmp_path, uninterrupted)


def run_processes(shards: Path, out: Path, processes: int, max_steps: int) -> None:
    options = {"micro-batch": 2, "max-steps": max_steps, "num-workers": 1}
    result = run_command(*train_arguments(shards, out, **options), processes=processes)
    assert result.returncode == 0, result.stderr[-3000:]
    assert f"Step {max_steps} of {max_steps} on {processes} process" in result.stdout


@pytest.fixture(scope="module")
def two_processes(small_shards, tmp_path_factory):
    out = tmp_path_factory.mktemp("two") / "run"
    run_processes(small_shards, out, 2, 20)
    return out


def test_losses_do_not_depend_on_the_number_of_processes(small_shards, tmp_path, uninterrupted, two_processes):
    run_processes(small_shards, tmp_path / "4", 4, 20)
    assert len(read_losses(uninterrupted)) == 20
    for out in (two_processes, tmp_path / "4"):
        assert read_losses(out) == pytest.approx(read_losses(uninterrupted), abs=1e-4)


def test_a_resumed_run_of_two_processes_equals_an_uninterrupted_one_to_the_bit(small_shards, tmp_path, two_processes):
    # The schedule does not depend on max_steps, so a shorter run takes the same steps.
    for max_steps in (9, 20):
        run_processes(small_shards, tmp_path / "run", 2, max_steps)
    assert read_losses(tmp_path / "run") == read_losses(two_processes)
    assert have_same_weights(tmp_path / "run", two_processes)


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


def test_a_non_finite_loss_stops_the_run_and_keeps_the_last_checkpoint(small_shards, tmp_path, make_config):
    config = make_config(max_steps=30, checkpoint_every=1, learning_rate=1e30, warmup_steps=0, max_grad_norm=None)
    with pytest.raises(TrainingError, match="the loss is not a number at step"):
        Trainer(config, str(small_shards), tmp_path).train()
    record = json.loads((tmp_path / "not-a-number-0.json").read_text())
    done = record["step"] - 1
    assert record["positions"] == list(range(done * 8, done * 8 + 8))
    assert load_checkpoint(max((tmp_path / "checkpoints").iterdir())).state.step == done


def test_invalid_runs_are_refused_with_one_sentence(small_shards, tmp_path, make_config, fork_command):
    with pytest.raises(DataError, match=r"dataset\.json"):
        Trainer(make_config(), str(tmp_path / "nowhere"), tmp_path / "a")
    with pytest.raises(DataError, match="a global batch of 7 cannot be divided"):
        Trainer(make_config(global_batch=7, micro_batch=4), str(small_shards), tmp_path / "b")
    with pytest.raises(DataError, match="128"):
        Trainer(make_config(resolution=256), str(small_shards), tmp_path / "b")
    Trainer(make_config(max_steps=1), str(small_shards), tmp_path / "c").train()
    with pytest.raises(TrainingError, match="was written with seed 0, and this run has 1"):
        Trainer(make_config(seed=1), str(small_shards), tmp_path / "c")
    for given, sentence in (
        (["--preset", "huge"], "there is no preset 'huge'"),
        (["--preset", "tiny", "--variant", "best"], "variant is 'best'"),
        (["--preset", "tiny", "--pretrained", str(tmp_path / "no-model")], "no-model"),
        (["--preset", "tiny", "--perceptual-weights", str(tmp_path / "no-vgg.safetensors")], "no-vgg"),
    ):
        result = fork_command("train", small_shards, "--out", tmp_path / "d", *given).wait()
        assert result.returncode == 1
        assert sentence in result.stderr
        assert "Traceback" not in result.stderr
