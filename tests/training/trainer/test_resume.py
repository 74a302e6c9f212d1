"""A run that stops, by a signal or a limit, and goes on."""

import dataclasses
import json
import os
import shutil
import signal
import time

import pytest
import safetensors.torch

from tests.training.giftune.helpers import save_parts
from tests.training.helpers import read_losses, train_arguments
from tests.training.trainer.helpers import have_same_weights, load_latest
from training.checkpoint.checkpoint import load_checkpoint
from training.errors import TrainingError
from training.model.config import ModelConfig
from training.model.perceptual import PerceptualLoss
from training.model.pretrained.stable_diffusion import make_random_stable_diffusion
from training.model.text.tokenizer import make_tokenizer
from training.trainer.trainer import Trainer


def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(few_shards, tmp_path, make_config, uninterrupted):
    for steps, num_workers in ((2, 0), (2, 2), (2, 0)):
        config = make_config(max_steps=6, num_workers=num_workers)
        Trainer(config, str(few_shards), tmp_path).train(num_steps=steps)
    assert len(read_losses(tmp_path)) == 6
    assert read_losses(tmp_path) == read_losses(uninterrupted)
    assert have_same_weights(tmp_path, uninterrupted)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_a_checkpoint_and_stops_the_run(small_shards, tmp_path, fork_command, signum):
    command = fork_command(*train_arguments(small_shards, tmp_path, **{"max-steps": 100_000}))
    deadline = time.monotonic() + 240
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


CHANGES = {"learning_rate": 2e-4, "warmup_steps": 0, "weight_decay": 0.3, "ema_decay": 0.25, "max_grad_norm": 0.5}


def test_what_may_change_on_a_resume_takes_effect_and_is_printed(few_shards, tmp_path, make_config, capsys):
    Trainer(make_config(max_steps=2), str(few_shards), tmp_path).train(num_steps=1)
    capsys.readouterr()
    trainer = Trainer(make_config(max_steps=2, **CHANGES), str(few_shards), tmp_path)
    printed = capsys.readouterr().out
    assert "changed since then: learning_rate 0.001 -> 0.0002\n" in printed
    assert [line.split()[3] for line in printed.splitlines() if line.startswith("changed")] == sorted(
        CHANGES, key=[field.name for field in dataclasses.fields(trainer.config)].index
    )
    trainer.train()
    group = trainer.optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"], trainer.ema.decay) == (2e-4, 0.3, 0.25)
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])["learning_rate"] == 2e-4


def test_a_lower_learning_rate_on_a_resume_moves_the_weights_less(few_shards, tmp_path, make_config):
    Trainer(make_config(max_steps=2), str(few_shards), tmp_path).train(num_steps=1)
    before = load_latest(tmp_path)["model"]
    Trainer(make_config(max_steps=2, learning_rate=1e-12), str(few_shards), tmp_path).train()
    after = load_latest(tmp_path)["model"]
    assert max(float((after[name] - before[name]).abs().max()) for name in before) < 1e-6


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"window_shards": 1}, "window_shards"),
        ({"resolution": 128}, "resolution"),
        ({"channels_last": True}, "channels_last"),
        ({"perceptual_weight": 0.1}, "perceptual_weight"),
        ({"model": ModelConfig(variant="base")}, r"model\.variant"),
    ],
)
def test_fields_that_may_not_change_on_a_resume_are_refused_by_name(
    few_shards, make_config, uninterrupted, fields, name
):
    with pytest.raises(TrainingError, match=f"step-00000006 was written with {name} .*, and this run has"):
        Trainer(make_config(max_steps=6, **fields), str(few_shards), uninterrupted)


def test_another_data_set_on_a_resume_is_refused_and_a_copy_accepted(
    few_shards, small_shards, tmp_path, make_config, uninterrupted
):
    with pytest.raises(TrainingError, match="step-00000006 was written with another data set"):
        Trainer(make_config(max_steps=6), str(small_shards), uninterrupted)
    copied = shutil.copytree(few_shards, tmp_path / "copied")
    assert Trainer(make_config(max_steps=6), str(copied), uninterrupted).state.step == 6


@pytest.fixture(scope="module")
def pretrained_run(few_shards, tmp_path_factory, make_config):
    """Train one step from a folder of parts; return the run, its config and the folder."""
    out = tmp_path_factory.mktemp("pretrained")
    parts = save_parts(make_random_stable_diffusion("tiny", seed=3), out / "parts")
    config = make_config(max_steps=1, pretrained=str(parts))
    Trainer(config, str(few_shards), out / "run").train()
    return out / "run", config, parts


def test_parts_that_moved_are_accepted_on_a_resume(few_shards, tmp_path, pretrained_run):
    run, config, parts = pretrained_run
    moved = shutil.copytree(parts, tmp_path / "moved")
    config = dataclasses.replace(config, pretrained=str(moved), autoencoder=str(moved / "vae"))
    assert Trainer(config, str(few_shards), run).state.step == 1


@pytest.mark.parametrize("part", ["autoencoder", "text encoder", "tokenizer", "noise schedule"])
def test_another_frozen_part_on_a_resume_is_refused_by_name(few_shards, tmp_path, pretrained_run, part):
    run, config, parts = pretrained_run
    moved = shutil.copytree(parts, tmp_path / "moved")
    other = make_random_stable_diffusion("tiny", seed=4)
    if part == "autoencoder":
        other.vae.save_pretrained(moved / "vae")
    elif part == "text encoder":
        other.text_encoder.save_pretrained(moved / "text_encoder")
    elif part == "tokenizer":
        make_tokenizer(["zebra"]).save_pretrained(moved / "tokenizer")
    else:
        type(other.scheduler)(beta_end=0.013).save_pretrained(moved / "scheduler")
    with pytest.raises(TrainingError, match=f"step-00000001 was written with another {part}"):
        Trainer(dataclasses.replace(config, pretrained=str(moved)), str(few_shards), run)


def test_other_perceptual_weights_on_a_resume_are_refused(few_shards, tmp_path, make_config, uninterrupted):
    path = tmp_path / "vgg19.safetensors"
    safetensors.torch.save_file(PerceptualLoss.random(seed=1).state_dict(), path)
    with pytest.raises(TrainingError, match="was written with another VGG19 of the perceptual loss"):
        Trainer(make_config(max_steps=6, perceptual_weights=str(path)), str(few_shards), uninterrupted)


def test_averaged_weights_keep_their_memory_format_through_a_resume(few_shards, tmp_path, make_config):
    config = make_config(max_steps=2, channels_last=True)
    trainer = Trainer(config, str(few_shards), tmp_path)
    trainer.train(num_steps=1)
    resumed = Trainer(config, str(few_shards), tmp_path)
    layouts = [[shadow.stride() for shadow in run.ema.shadow_params] for run in (trainer, resumed)]
    assert layouts[0] == layouts[1]
    assert any(shadow.ndim == 4 and not shadow.is_contiguous() for shadow in resumed.ema.shadow_params)
