"""Runs change only trained parameters, resume exactly, and raise for inconsistent settings."""

import dataclasses
import json

import pytest
import torch

from tests.training.giftune.helpers import save_parts
from training.checkpoint.checkpoint import load_checkpoint
from training.errors import TrainingError
from training.giftune.saved_run import read_run
from training.giftune.tuner import Tuner
from training.model.pretrained.stable_diffusion import make_random_stable_diffusion
from training.model.text.tokenizer import make_tokenizer
from training.runtime.weights import hash_weights


def copy_weights(tuner) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in tuner.tuned.model.state_dict().items()}


def test_all_trained_parameters_change_and_no_others(quick, clip, tmp_path):
    tuner = Tuner(quick(max_steps=3, model=None), clip, tmp_path)
    before = copy_weights(tuner)
    parts = tuner.tuned.parts
    frozen = hash_weights(parts.vae), hash_weights(parts.text_encoder)
    tuner.tune()
    changed = {name for name, tensor in copy_weights(tuner).items() if not torch.equal(tensor, before[name])}
    assert changed == set(tuner.tuned.model.trained_parameters())
    assert changed
    assert (hash_weights(parts.vae), hash_weights(parts.text_encoder)) == frozen


def test_a_resumed_run_equals_an_uninterrupted_one(quick, clip, tmp_path):
    config = quick(max_steps=4)
    whole = Tuner(config, clip, tmp_path / "whole")
    whole.tune()
    Tuner(config, clip, tmp_path / "parts").tune(num_steps=2)
    resumed = Tuner(config, clip, tmp_path / "parts")
    assert resumed.state.step == 2
    resumed.tune()
    for name, parameter in whole.trained.items():
        assert torch.equal(resumed.trained[name], parameter), name
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]
        for run in ("whole", "parts")
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 4


def test_a_checkpoint_holds_only_trained_parameters(quick, clip, tmp_path):
    tuner = Tuner(quick(max_steps=1), clip, tmp_path)
    tuner.tune()
    checkpoint = load_checkpoint(tmp_path / "checkpoints" / "step-00000001")
    assert set(checkpoint.tensors["model"]) == set(tuner.trained)


def test_the_total_is_the_weighted_sum_of_the_losses(quick, clip, tmp_path):
    values = {}
    for name, fields in {
        "neither": {"consistency_weight": 0.0},
        "change": {"consistency_weight": 0.5},
        "stillness": {"consistency_weight": 0.5, "consistency": "stillness"},
    }.items():
        tuner = Tuner(quick(max_steps=1, **fields), clip, tmp_path / name)
        losses = tuner.step(tuner.model, 0)
        values[name] = losses.to_metrics()
        if name == "neither":
            assert losses.consistency is None
            assert losses.background is None
        else:
            expected = values[name]["noise_loss"] + 0.5 * values[name]["consistency_loss"]
            assert values[name]["loss"] == pytest.approx(expected)
    assert values["neither"]["loss"] == values["neither"]["noise_loss"] == values["change"]["noise_loss"]
    assert values["change"]["consistency_loss"] != values["stillness"]["consistency_loss"]


def test_resuming_with_another_clip_or_config_raises(quick, clip, tmp_path):
    Tuner(quick(max_steps=1), clip, tmp_path).tune()
    other = dataclasses.replace(clip, frames=clip.frames[::-1].copy())
    with pytest.raises(TrainingError, match=r"holds a run with another GIF.*--out, or replace it with --resume none"):
        Tuner(quick(max_steps=2), other, tmp_path)
    with pytest.raises(TrainingError, match="was written with seed 33, and this run has 4"):
        Tuner(quick(max_steps=2, seed=4), clip, tmp_path)
    smaller = dataclasses.replace(clip, frames=clip.frames[:, ::2, ::2].copy())
    with pytest.raises(TrainingError, match="was written with resolution 64, and this run has 32"):
        Tuner(quick(max_steps=2, resolution=32), smaller, tmp_path)
    Tuner(quick(max_steps=1, seed=4), other, tmp_path, resume="none").tune()
    assert read_run(tmp_path).tuned.clip.is_same_as(other)


def test_what_may_change_on_a_resume_takes_effect_and_is_printed(quick, clip, tmp_path, capsys):
    Tuner(quick(max_steps=2), clip, tmp_path).tune(num_steps=1)
    tuner = Tuner(quick(max_steps=2, learning_rate=1e-12, weight_decay=0.3), clip, tmp_path)
    assert "changed since then: learning_rate 0.001 -> 1e-12\n" in capsys.readouterr().out
    before = copy_weights(tuner)
    tuner.tune()
    group = tuner.optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (1e-12, 0.3)
    after = copy_weights(tuner)
    assert max(float((after[name] - before[name]).abs().max()) for name in before) < 1e-6


def test_a_checkpoint_of_another_clip_raises(quick, clip, tmp_path):
    Tuner(quick(max_steps=1), clip, tmp_path / "run").tune()
    other = dataclasses.replace(clip, prompt="another caption")
    with pytest.raises(TrainingError, match="was written with another clip"):
        Tuner(quick(max_steps=2), other, tmp_path / "other", resume=str(tmp_path / "run/checkpoints/step-00000001"))


@pytest.mark.parametrize("name", ["image model", "autoencoder", "text encoder", "tokenizer"])
def test_a_changed_part_of_the_image_model_raises(quick, clip, tmp_path, name):
    folder = save_parts(make_random_stable_diffusion("tiny", seed=1), tmp_path / "sd")
    Tuner(quick(max_steps=1, model=str(folder)), clip, tmp_path / "run").tune()
    assert read_run(tmp_path / "run").step == 1
    other = make_random_stable_diffusion("tiny", seed=2)
    if name == "tokenizer":
        make_tokenizer(["zebra"]).save_pretrained(folder / "tokenizer")
    elif name == "autoencoder":
        other.vae.save_pretrained(folder / "vae")
    elif name == "text encoder":
        other.text_encoder.save_pretrained(folder / "text_encoder")
    else:
        other.unet.save_pretrained(folder / "unet")
    with pytest.raises(TrainingError, match=f"was written with another {name}"):
        read_run(tmp_path / "run")


def test_a_nan_loss_stops_the_run_without_changing_weights(quick, clip, tmp_path):
    tuner = Tuner(quick(max_steps=5), clip, tmp_path)
    tuner.tune(num_steps=1)
    with torch.no_grad():
        tuner.tuned.parts.unet.conv_out.bias.fill_(float("nan"))
    before = copy_weights(tuner)
    with pytest.raises(TrainingError, match="the loss is not a number at step 2"):
        tuner.tune()
    assert all(torch.equal(tensor, before[name]) for name, tensor in tuner.tuned.model.trained_parameters().items())
    assert load_checkpoint(tmp_path / "checkpoints" / "step-00000001").state.step == 1


def test_an_infinite_gradient_stops_the_run_without_changing_weights(quick, clip, tmp_path):
    tuner = Tuner(quick(max_steps=5), clip, tmp_path)
    before = copy_weights(tuner)
    next(iter(tuner.trained.values())).register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(TrainingError, match="the gradient is not a number at step 1"):
        tuner.tune()
    assert all(torch.equal(tensor, before[name]) for name, tensor in tuner.tuned.model.trained_parameters().items())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"precision": "fp16"}, "fp16 needs a GPU"),
        ({"resolution": 60}, "must be a multiple of 8"),
        ({"validation_prompt": "word " * 100, "validate_every": 1}, "tokens too long for the text model"),
        ({"model": "nowhere"}, "there is no folder nowhere, and models on the hub are named OWNER/NAME"),
        ({"depth_model": "nowhere", "background_weight": 0.1}, "there is no folder nowhere"),
        ({"model": "nowhere/at/all"}, "no tokenizer can be loaded from nowhere/at/all"),
    ],
)
def test_unusable_settings_raise_and_write_nothing(quick, clip, tmp_path, fields, message):
    if torch.cuda.is_available() and "precision" in fields:
        pytest.skip("there is a GPU here")
    with pytest.raises(TrainingError, match=message):
        Tuner(quick(**fields), clip, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_out_of_memory_names_options_that_save_memory(quick, clip, tmp_path):
    def run_out_of_memory(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    tuner = Tuner(quick(max_steps=1), clip, tmp_path)
    tuner.tuned.model.register_forward_pre_hook(run_out_of_memory)
    with pytest.raises(TrainingError, match=r"5 frames of 64 pixels; turn on --gradient-checkpointing or --precision"):
        tuner.tune()
