"""A run changes what it names and nothing else, goes on to the bit, and refuses what would spoil it."""

import dataclasses
import json

import pytest
import torch

from tests.training.giftune.conftest import write_parts
from training.checkpoint.checkpoint import load_checkpoint
from training.errors import TrainingError
from training.giftune.saved_run import read_run
from training.giftune.tuner import Tuner
from training.model.stable_diffusion import make_random_stable_diffusion
from training.runtime.weights import hash_weights


def weights(tuner) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in tuner.tuned.model.state_dict().items()}


def test_only_the_named_parameters_change_and_all_of_them_do(quick, clip, tmp_path):
    tuner = Tuner(quick(max_steps=3, model=None), clip, tmp_path)
    before = weights(tuner)
    parts = tuner.tuned.parts
    around = hash_weights(parts.vae), hash_weights(parts.text_encoder)
    tuner.tune()
    changed = {name for name, tensor in weights(tuner).items() if not torch.equal(tensor, before[name])}
    assert changed == set(tuner.tuned.model.trained())
    assert changed
    assert (hash_weights(parts.vae), hash_weights(parts.text_encoder)) == around


def test_a_run_that_was_stopped_and_resumed_is_the_run_that_was_not(quick, clip, tmp_path):
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


def test_a_checkpoint_holds_what_is_trained_and_not_the_image_model(quick, clip, tmp_path):
    tuner = Tuner(quick(max_steps=1), clip, tmp_path)
    tuner.tune()
    checkpoint = load_checkpoint(tmp_path / "checkpoints" / "step-00000001")
    assert set(checkpoint.tensors["model"]) == set(tuner.trained)


def test_each_weight_of_a_loss_counts_and_zero_leaves_it_out(quick, clip, tmp_path):
    figures = {}
    for name, fields in {
        "neither": {"consistency_weight": 0.0},
        "change": {"consistency_weight": 0.5},
        "stillness": {"consistency_weight": 0.5, "consistency": "stillness"},
    }.items():
        tuner = Tuner(quick(max_steps=1, **fields), clip, tmp_path / name)
        losses = tuner.step(tuner.model, 0)
        figures[name] = losses.figures()
        if name == "neither":
            assert losses.consistency is None
            assert losses.background is None
        else:
            expected = figures[name]["noise_loss"] + 0.5 * figures[name]["consistency_loss"]
            assert figures[name]["loss"] == pytest.approx(expected)
    assert figures["neither"]["loss"] == figures["neither"]["noise_loss"] == figures["change"]["noise_loss"]
    assert figures["change"]["consistency_loss"] != figures["stillness"]["consistency_loss"]


def test_another_clip_and_another_model_are_refused(quick, clip, tmp_path):
    Tuner(quick(max_steps=1), clip, tmp_path).tune()
    other = dataclasses.replace(clip, frames=clip.frames[::-1].copy())
    with pytest.raises(TrainingError, match=r"holds a run on another GIF.*--out, or --resume none"):
        Tuner(quick(max_steps=2), other, tmp_path)
    with pytest.raises(TrainingError, match="was written with seed 33, and this run has 4"):
        Tuner(quick(max_steps=2, seed=4), clip, tmp_path)
    smaller = dataclasses.replace(clip, frames=clip.frames[:, ::2, ::2].copy())
    with pytest.raises(TrainingError, match="was written with resolution 64, and this run has 32"):
        Tuner(quick(max_steps=2, resolution=32), smaller, tmp_path)
    Tuner(quick(max_steps=1, seed=4), other, tmp_path, resume="none").tune()
    assert read_run(tmp_path).tuned.clip.shows_the_same(other)


def test_an_image_model_that_was_changed_since_is_refused(quick, clip, tmp_path):
    folder = write_parts(make_random_stable_diffusion("tiny", seed=1), tmp_path / "sd")
    Tuner(quick(max_steps=1, model=str(folder)), clip, tmp_path / "run").tune()
    assert read_run(tmp_path / "run").step == 1
    make_random_stable_diffusion("tiny", seed=2).unet.save_pretrained(folder / "unet")
    with pytest.raises(TrainingError, match="are not those that the run was tuned on"):
        read_run(tmp_path / "run")


def test_a_loss_that_is_no_number_ends_the_run_and_spoils_nothing(quick, clip, tmp_path):
    tuner = Tuner(quick(max_steps=5), clip, tmp_path)
    tuner.tune(num_steps=1)
    with torch.no_grad():
        tuner.tuned.parts.unet.conv_out.bias.fill_(float("nan"))
    before = weights(tuner)
    with pytest.raises(TrainingError, match="the loss is not a number at step 2"):
        tuner.tune()
    assert all(torch.equal(tensor, before[name]) for name, tensor in tuner.tuned.model.trained().items())
    assert load_checkpoint(tmp_path / "checkpoints" / "step-00000001").state.step == 1


def test_a_gradient_that_is_no_number_reaches_no_weight(quick, clip, tmp_path):
    tuner = Tuner(quick(max_steps=5), clip, tmp_path)
    before = weights(tuner)
    next(iter(tuner.trained.values())).register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(TrainingError, match="the gradient is not a number at step 1"):
        tuner.tune()
    assert all(torch.equal(tensor, before[name]) for name, tensor in tuner.tuned.model.trained().items())


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"precision": "fp16"}, "fp16 needs a GPU"),
        ({"resolution": 60}, "must be a multiple of 8"),
        ({"validation_prompt": "word " * 100, "validate_every": 1}, "tokens longer than the text model hears"),
        ({"model": "nowhere"}, "there is no folder nowhere, and models on the hub are named OWNER/NAME"),
        ({"depth_model": "nowhere", "background_weight": 0.1}, "there is no folder nowhere"),
        ({"model": "nowhere/at/all"}, "no tokenizer can be loaded from nowhere/at/all"),
    ],
)
def test_what_cannot_be_gets_a_sentence(quick, clip, tmp_path, fields, sentence):
    if torch.cuda.is_available() and "precision" in fields:
        pytest.skip("there is a GPU here")
    with pytest.raises(TrainingError, match=sentence):
        Tuner(quick(**fields), clip, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_out_of_memory_says_what_to_turn_on(quick, clip, tmp_path):
    tuner = Tuner(quick(max_steps=1), clip, tmp_path)
    with (
        pytest.raises(TrainingError, match=r"5 frames of 64 pixels; turn on --gradient-checkpointing or --precision"),
        tuner._memory_advice(),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory")
