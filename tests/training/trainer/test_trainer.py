"""The loop: it learns, it stops and goes on as if it had not, and it refuses in a sentence."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from tests.training.conftest import run
from training.checkpoint.checkpoint import load_checkpoint
from training.data import DataError
from training.errors import TrainingError
from training.model.pipeline import Pix2GifPipeline
from training.trainer.trainer import Trainer

GOLDEN_LOSSES = [1.13264, 1.1189, 1.04741, 0.99486, 0.94077, 0.8651, 0.80888, 0.76751, 0.68072, 0.62396]


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def latest(out: Path) -> dict[str, dict[str, torch.Tensor]]:
    return load_checkpoint(max((out / "checkpoints").iterdir())).tensors


def same_weights(one: Path, other: Path) -> bool:
    first, second = latest(one), latest(other)
    return first.keys() == second.keys() and all(
        first[part].keys() == second[part].keys()
        and all(torch.equal(first[part][name], second[part][name]) for name in first[part])
        for part in first
    )


def test_ten_losses_of_the_tiny_preset_are_golden(small_shards, tmp_path, quick):
    Trainer(quick(max_steps=10), str(small_shards), tmp_path).train()
    assert losses(tmp_path) == pytest.approx(GOLDEN_LOSSES, rel=1e-3)


def test_it_learns_and_shows_it_in_validation_gifs_and_leaves_a_model_others_can_load(small_shards, tmp_path, quick):
    config = quick(max_steps=30, validate_every=30)
    Trainer(config, str(small_shards), tmp_path).train()
    told = losses(tmp_path)
    assert sum(told[-10:]) < 0.7 * sum(told[:10])
    drawn = sorted(path.name for path in (tmp_path / "validation").iterdir())
    assert drawn == [f"step-00000030{end}" for end in ("-clip-00.gif", "-clip-01.gif", ".gif", ".png")]
    pipeline = Pix2GifPipeline.from_pretrained(tmp_path / "model")
    ema = latest(tmp_path)["ema"]
    saved = pipeline.model.trained_parameters()
    assert all(torch.equal(ema[f"{n:05d}"], parameter) for n, parameter in enumerate(saved))
    written = json.loads((tmp_path / "config.json").read_text())
    assert (written["max_steps"], written["model"]["variant"]) == (30, "full")


@pytest.mark.parametrize("variant", ["base", "motion-embed", "warp", "warp-add", "warp-concat"])
def test_every_variant_trains(small_shards, tmp_path, quick, variant):
    config = quick(max_steps=2)
    config = type(config)(**{**vars(config), "model": type(config.model)(variant=variant)})
    state = Trainer(config, str(small_shards), tmp_path).train()
    assert (state.step, state.position) == (2, 16)


@pytest.fixture(scope="module")
def whole(small_shards, tmp_path_factory, quick):
    """The run of 20 steps in one process that nothing stopped: of 110 samples in batches of 8, step 14 is the last."""
    out = tmp_path_factory.mktemp("whole")
    Trainer(quick(max_steps=20), str(small_shards), out).train()
    return out


@pytest.mark.parametrize("num_workers", [0, 2])
def test_stopped_and_resumed_is_never_stopped_to_the_bit(small_shards, tmp_path, quick, whole, num_workers):
    config = quick(max_steps=20, num_workers=num_workers)
    for steps in (5, 10, 5):
        Trainer(config, str(small_shards), tmp_path).train(num_steps=steps)
    assert losses(tmp_path) == losses(whole)
    assert same_weights(tmp_path, whole)


def words(shards: Path, out: Path, **options: object) -> list[object]:
    given = {"global-batch": 8, "validate-every": 0, "num-workers": 0, **options}
    flags = [word for name, value in given.items() for word in (f"--{name}", value)]
    return ["train", shards, "--preset", "tiny", "--out", out, *flags]


def run_ranks(shards: Path, out: Path, processes: int, max_steps: int) -> None:
    options = {"micro-batch": 2, "max-steps": max_steps, "num-workers": 1}
    ended = run(*words(shards, out, **options), processes=processes)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert f"Step {max_steps} of {max_steps} on {processes} process" in ended.stdout


@pytest.fixture(scope="module")
def two_ranks(small_shards, tmp_path_factory):
    out = tmp_path_factory.mktemp("two") / "run"
    run_ranks(small_shards, out, 2, 20)
    return out


def test_ranks_share_a_global_batch_and_change_no_loss(small_shards, tmp_path, whole, two_ranks):
    run_ranks(small_shards, tmp_path / "4", 4, 20)
    assert len(losses(whole)) == 20
    for out in (two_ranks, tmp_path / "4"):
        assert losses(out) == pytest.approx(losses(whole), abs=1e-4)


def test_two_ranks_stopped_and_resumed_are_never_stopped_to_the_bit(small_shards, tmp_path, two_ranks):
    # The schedule does not know how far a run will go, so fewer steps are the same steps.
    for max_steps in (9, 20):
        run_ranks(small_shards, tmp_path / "run", 2, max_steps)
    assert losses(tmp_path / "run") == losses(two_ranks)
    assert same_weights(tmp_path / "run", two_ranks)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_writes_a_checkpoint_and_ends_cleanly(small_shards, tmp_path, fork, signum):
    begun = fork(*words(small_shards, tmp_path, **{"max-steps": 100_000}))
    deadline = time.monotonic() + 60
    while not ((tmp_path / "metrics.jsonl").exists() and len(losses(tmp_path)) >= 2):
        assert time.monotonic() < deadline
        assert begun.process.is_alive(), begun.errors.read_text()[-2000:]
        time.sleep(0.1)
    os.kill(begun.process.pid, signum)
    ended = begun.ended()
    assert ended.returncode == 0, ended.stderr
    step = load_checkpoint(max((tmp_path / "checkpoints").iterdir())).state.step
    assert step == len(losses(tmp_path))
    assert f"Step {step} of 100000" in ended.stdout


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_checkpoint(small_shards, tmp_path, quick):
    config = quick(max_steps=30, checkpoint_every=1, learning_rate=1e30, warmup_steps=0, max_grad_norm=None)
    with pytest.raises(TrainingError, match="the loss is not a number at step"):
        Trainer(config, str(small_shards), tmp_path).train()
    note = json.loads((tmp_path / "not-a-number-0.json").read_text())
    done = note["step"] - 1
    assert note["positions"] == list(range(done * 8, done * 8 + 8))
    assert load_checkpoint(max((tmp_path / "checkpoints").iterdir())).state.step == done


def test_what_cannot_be_is_refused_in_a_sentence(small_shards, tmp_path, quick, fork):
    with pytest.raises(DataError, match=r"dataset\.json"):
        Trainer(quick(), str(tmp_path / "nowhere"), tmp_path / "a")
    with pytest.raises(DataError, match="a global batch of 7 cannot be divided"):
        Trainer(quick(global_batch=7, micro_batch=4), str(small_shards), tmp_path / "b")
    with pytest.raises(DataError, match="128"):
        Trainer(quick(resolution=256), str(small_shards), tmp_path / "b")
    Trainer(quick(max_steps=1), str(small_shards), tmp_path / "c").train()
    with pytest.raises(TrainingError, match="was written with seed 0, and this run has 1"):
        Trainer(quick(seed=1), str(small_shards), tmp_path / "c")
    for given, sentence in (
        (["--preset", "huge"], "there is no preset 'huge'"),
        (["--preset", "tiny", "--variant", "best"], "variant is 'best'"),
        (["--preset", "tiny", "--pretrained", str(tmp_path / "no-model")], "no-model"),
        (["--preset", "tiny", "--perceptual-weights", str(tmp_path / "no-vgg.safetensors")], "no-vgg"),
    ):
        ended = fork("train", small_shards, "--out", tmp_path / "d", *given).ended()
        assert ended.returncode == 1
        assert sentence in ended.stderr
        assert "Traceback" not in ended.stderr
