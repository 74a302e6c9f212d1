import json

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from shards.reader import read_shard
from tests.training.helpers import read_losses
from tests.training.trainer.helpers import load_latest
from training.checkpoint.checkpoint import load_checkpoint
from training.data import DataError
from training.errors import TrainingError
from training.model.saved import load_pipeline
from training.trainer.trainer import Trainer

GOLDEN_LOSSES = [1.13264, 1.1189, 1.04741, 0.99486, 0.94077, 0.8651, 0.80888, 0.76751, 0.68072, 0.62396]


@pytest.fixture(scope="module")
def finished(small_shards, tmp_path_factory, make_config):
    """Run 20 steps of the tiny preset, with validation GIFs of one clip at the end."""
    out = tmp_path_factory.mktemp("finished")
    config = make_config(max_steps=20, validate_every=20, validation_clips=1)
    Trainer(config, str(small_shards), out).train()
    return out


def test_ten_losses_of_the_tiny_preset_are_golden(finished):
    assert read_losses(finished)[:10] == pytest.approx(GOLDEN_LOSSES, rel=1e-3)


def test_a_run_learns_and_writes_validation_gifs_and_a_model(finished):
    losses = read_losses(finished)
    assert len(losses) == 20
    assert sum(losses[10:]) < 0.7 * sum(losses[:10])
    files = sorted(path.name for path in (finished / "validation").iterdir())
    assert files == [f"step-00000020{end}" for end in ("-clip-00.gif", ".gif", ".png")]
    pipeline = load_pipeline(finished / "model")
    ema = load_latest(finished)["ema"]
    saved = pipeline.model.trained_parameters()
    assert all(torch.equal(ema[f"{n:05d}"], parameter) for n, parameter in enumerate(saved))
    events = EventAccumulator(str(finished / "tensorboard"))
    events.Reload()
    assert [(picture.step, picture.height > 128) for picture in events.Images("validation")] == [(20, True)]
    written = json.loads((finished / "config.json").read_text())
    assert (written["max_steps"], written["model"]["variant"]) == (20, "full")


def test_the_model_records_the_range_of_motion_and_the_size_of_the_data(finished, small_shards):
    trained_on = load_pipeline(finished / "model").trained_on
    motions = [
        sample.record.motion_px for shard in sorted((small_shards / "train").iterdir()) for sample in read_shard(shard)
    ]
    assert (trained_on.min_motion, trained_on.max_motion) == (int(min(motions)), int(max(motions)))
    assert (trained_on.width, trained_on.height) == (128, 128)


@pytest.mark.parametrize("variant", ["base", "motion-embed", "warp", "warp-add", "warp-concat"])
def test_every_variant_trains(small_shards, tmp_path, make_config, variant):
    config = make_config(max_steps=2)
    config = type(config)(**{**vars(config), "model": type(config.model)(variant=variant)})
    state = Trainer(config, str(small_shards), tmp_path).train()
    assert (state.step, state.position) == (2, 16)


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
