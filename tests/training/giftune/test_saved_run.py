"""Loading a run's folder: cached inversions and deterministic samples."""

import json

import numpy as np
import pytest
import torch

from training.errors import TrainingError
from training.giftune.saved_run import read_run
from training.giftune.tuner import Tuner


@pytest.fixture
def run(quick, clip, tmp_path):
    Tuner(quick(max_steps=2), clip, tmp_path / "run").tune()
    return read_run(tmp_path / "run")


def test_inversions_are_cached_per_number_of_steps(run):
    path, existed = run.invert(4)
    assert not existed
    assert run.invert(4) == (path, True)
    written = path.stat().st_mtime_ns
    run.sample("a ball moves left", num_steps=4)
    assert path.stat().st_mtime_ns == written
    assert run.invert(3)[0] != path


def test_damaged_and_outdated_inversions_are_replaced(run):
    path, _ = run.invert(2)
    first = path.read_bytes()
    path.write_bytes(first[:100])
    assert run.invert(2) == (path, False)
    assert path.read_bytes() == first
    with torch.no_grad():
        run.tuned.parts.unet.conv_in.bias.add_(0.1)
    assert run.invert(2) == (path, False)
    assert path.read_bytes() != first


def test_samples_depend_only_on_the_caption(run, clip):
    first = run.sample("a ball moves left", guidance=3.0)
    assert first.shape == clip.frames.shape
    assert first.dtype == np.uint8
    assert np.array_equal(read_run(run.folder).sample("a ball moves left", guidance=3.0), first)
    assert not np.array_equal(run.sample("two cats", guidance=3.0), first)


def test_a_run_in_fp16_is_sampled_on_a_cpu(run):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    expected = run.sample("a ball moves left", guidance=3.0)
    config = run.folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "precision": "fp16"}))
    assert np.array_equal(read_run(run.folder).sample("a ball moves left", guidance=3.0), expected)


def test_validation_gifs_are_samples(quick, clip, tmp_path):
    tuner = Tuner(quick(max_steps=2, validate_every=2, validation_prompt="a ball", guidance=2.0), clip, tmp_path)
    tuner.tune()
    run = read_run(tmp_path)
    noise = tuner.tuned.invert(4)
    expected = tuner.tuned.sample(noise, "a ball", guidance=2.0, num_steps=4)
    assert np.array_equal(run.sample("a ball"), expected)
    assert (tmp_path / "validation" / "step-00000002.gif").exists()


def test_invalid_runs_captions_and_checkpoints_raise(tmp_path, run):
    with pytest.raises(TrainingError, match="is not a run of `pix2gif giftune train`"):
        read_run(tmp_path)
    with pytest.raises(TrainingError, match="tokens too long for the text model"):
        run.sample("word " * 100)
    with pytest.raises(TrainingError, match="the caption is empty"):
        run.sample("  ")
    with pytest.raises(TrainingError, match="is not a complete checkpoint"):
        read_run(run.folder, "step-1")
