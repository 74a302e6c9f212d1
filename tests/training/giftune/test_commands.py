"""The commands of `pix2gif giftune`, as a user calls them."""

import json

import pytest
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

import cli
from curation.errors import CurationError
from training.errors import TrainingError

TRAIN = ("--preset", "tiny", "--max-steps", "2", "--validate-every", "0")


def giftune(*arguments: object):
    return CliRunner().invoke(cli.app, ["giftune", *map(str, arguments)], catch_exceptions=False)


def test_train_invert_and_sample(gif, image_model, tmp_path):
    out = tmp_path / "run"
    trained = giftune("train", gif, "a texture moves right", "--out", out, "--model", image_model, *TRAIN)
    assert trained.stdout.splitlines()[-1] == f"Step 2 of 2 on 6 frames; the run is in {out}."
    assert json.loads((out / "config.json").read_text())["model"] == str(image_model)
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 2
    inverted = giftune("invert", out, "--steps", 3)
    path = out / "inversions" / "step-00000002-ddim-3.safetensors"
    assert inverted.stdout == f"The noise of the GIF at step 2 is in {path}.\n"
    assert load_file(path)["noise"].shape == (6, 4, 8, 8)
    assert giftune("invert", out, "--steps", 3).stdout.endswith("already.\n")
    sampled = giftune("sample", out, "A ball, moving!", "--steps", 3, "--guidance", 2)
    assert sampled.stdout == f"6 frames of 'A ball, moving!': {out}/samples/a-ball-moving.gif\n"
    with Image.open(out / "samples" / "a-ball-moving.gif") as sample:
        assert (sample.size, sample.n_frames, sample.info["duration"]) == ((64, 64), 6, 70)
    unnamed = giftune("sample", out, "???", "--steps", 3)
    assert unnamed.stdout == f"6 frames of '???': {out}/samples/sample.gif\n"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("train", "nowhere.gif", "a cat", *TRAIN, "--out", "run"), CurationError, "there is no file nowhere.gif"),
        (("train", __file__, "a cat", *TRAIN, "--out", "run"), CurationError, "is not a GIF but"),
        (("sample", ".", "a cat"), TrainingError, "is not a run of"),
        (("sample", ".", "a cat", "--out", "cat.mp4"), TrainingError, "must end in .gif"),
        (("sample", ".", "a cat", "--guidance", "0"), TrainingError, "--guidance is 0; it must be 1 or more"),
        (("sample", ".", "a cat", "--guidance", "nan"), TrainingError, "--guidance is nan; it must be 1 or more"),
        (("sample", ".", "a cat", "--steps", "5000"), TrainingError, "--steps is 5000; it must be 1 to 999"),
        (("invert", ".", "--steps", "0"), TrainingError, "--steps is 0; it must be 1 to 999"),
        (("train", __file__, "a cat", *TRAIN, "--out", "run", "--resolution", "0"), TrainingError, "resolution is 0"),
    ],
)
def test_invalid_arguments_raise(arguments, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        giftune(*arguments)
