"""The validation loss: fixed samples, noise and timesteps, from pictures and from latents."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from shards.manifest import read_manifest, write_manifest
from training.trainer.config import tiny
from training.trainer.encode_latents import encode_dataset
from training.trainer.trainer import Trainer
from training.trainer.validation import Validation

VALIDATES = {"validate_every": 2, "validation_samples": 6, "validation_clips": 0}


def read_metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def validated(small_shards, tmp_path_factory, make_config):
    """Train 4 steps with validation every 2."""
    out = tmp_path_factory.mktemp("validated")
    Trainer(make_config(max_steps=4, log_every=3, **VALIDATES), str(small_shards), out).train()
    return out


def test_validation_losses_are_logged_and_change_no_step(small_shards, tmp_path, make_config, validated):
    lines = read_metrics(validated)
    assert [(line["step"], "val_loss" in line) for line in lines] == [(2, True), (3, False), (4, True)]
    first, last = lines[0], lines[-1]
    assert last["val_noise_loss"] < first["val_noise_loss"]
    assert last["val_loss"] == pytest.approx(last["val_noise_loss"] + 0.01 * last["val_perceptual_loss"], rel=1e-5)
    Trainer(make_config(max_steps=4), str(small_shards), tmp_path).train()
    losses = {line["step"]: line["loss"] for line in read_metrics(tmp_path)}
    assert all(losses[line["step"]] == line["loss"] for line in lines)


def test_the_same_weights_have_the_same_loss_in_parts_of_any_size(small_shards, tmp_path, make_config):
    trainer = Trainer(make_config(**VALIDATES, micro_batch=4), str(small_shards), tmp_path)
    trainer.model.eval()
    first, again = (trainer.validation.measure(trainer.model) for _ in range(2))
    assert first == again
    other = Trainer(make_config(**VALIDATES, micro_batch=8), str(small_shards), tmp_path)
    other.model.eval()
    assert other.validation.measure(other.model) == pytest.approx(first, rel=1e-5)
    assert isinstance(other.validation, Validation)


def test_latents_give_the_validation_loss_of_their_pictures(small_shards, tmp_path, make_config, validated):
    encode_dataset(small_shards, tmp_path / "latents", tiny(), map, progress=lambda n: None)
    Trainer(make_config(max_steps=2, **VALIDATES), str(tmp_path / "latents"), tmp_path / "run").train()
    expected = read_metrics(validated)[0]["val_loss"]
    assert read_metrics(tmp_path / "run")[-1]["val_loss"] == pytest.approx(expected, abs=1e-3)


def test_data_without_a_val_split_are_noted_and_trained_on(few_shards, tmp_path, make_config, capsys):
    data = shutil.copytree(few_shards, tmp_path / "data")
    manifest = read_manifest(data)
    splits = {name: entry for name, entry in manifest.splits.items() if name == "train"}
    write_manifest(data, dataclasses.replace(manifest, splits=splits))
    Trainer(make_config(max_steps=1, validate_every=1), str(data), tmp_path / "run").train()
    assert f"Note: {data} has no val split, so there is no validation" in capsys.readouterr().out
    assert "val_loss" not in read_metrics(tmp_path / "run")[0]
