"""`pix2gif evaluate` METRIC on folders of clips."""

import json
import re
import sys

import numpy as np
import pytest
from PIL import Image

from tests.training.evaluation.helpers import draw_frames, evaluate, save_frames
from training.errors import TrainingError
from training.evaluation.errors import EvaluationError
from training.evaluation.metrics.on_folders import read_captions

MOTIONS = (2, 4, 8)


@pytest.fixture
def clips(tmp_path):
    """Draw two clips of 3 frames, shifted by MOTIONS, and their sources."""
    (tmp_path / "sources").mkdir()
    for number in range(2):
        source, *frames = draw_frames([0, *MOTIONS], seed=number, side=128)
        save_frames(tmp_path / "clips" / f"clip{number}", np.stack(frames))
        Image.fromarray(source).save(tmp_path / "sources" / f"clip{number}.png")
    return tmp_path


def test_motion_command_measures_drawn_shifts(clips, fork_command):
    options = ["--sources", clips / "sources", "--motion", "2,4,8", "--out", clips / "motion.json"]
    ended = fork_command("evaluate", "motion", clips / "clips", *options).wait()
    assert ended.returncode == 0, ended.stderr
    assert "Pearson 0.99" in ended.stdout or "Pearson 1.00" in ended.stdout
    result = json.loads((clips / "motion.json").read_text())
    np.testing.assert_allclose(result["values"]["measured_px"], MOTIONS, atol=0.4)
    assert result["config"]["motion"] == [2, 4, 8]
    assert result["software"]["opencv-python-headless"] != "none"


def test_first_frame_is_the_source_if_none_is_given(clips):
    """The clips are shifted by 2, 4 and 8 px, so 4 and 8 are 2 and 6 px from the first frame."""
    ended = evaluate("motion", clips / "clips", "--motion", "2,6", "--out", clips / "motion.json")
    assert ended.exit_code == 0
    values = json.loads((clips / "motion.json").read_text())["values"]
    np.testing.assert_allclose(values["measured_px"], [2, 6], atol=0.4)


def test_fvd_of_equal_frames_is_0(tmp_path, networks):
    for number in range(8):
        save_frames(tmp_path / "real" / str(number), draw_frames(np.arange(7) * number, seed=number))
        save_frames(tmp_path / "made" / str(number), draw_frames(np.arange(3) * number * 2, seed=number))
    options = ["--i3d", networks, "--out", tmp_path / "fvd.json", "--every", 2, "--num-frames", 3]
    ended = evaluate("fvd", tmp_path / "real", tmp_path / "made", *options)
    assert ended.exit_code == 0
    assert "biased upwards" in ended.stdout
    result = json.loads((tmp_path / "fvd.json").read_text())
    # Every second frame of the real clips is a frame of the generated ones.
    assert result["values"]["fvd"] == pytest.approx(0, abs=1e-6)
    assert result["values"]["num_videos"] == 8
    assert len(result["weights"]["i3d"]) == 64


def test_clipsim_and_similarity_commands_write_their_values(clips, networks):
    captions = clips / "captions.tsv"
    captions.write_text("clip0\ta dog runs\nclip1\ta cat sleeps\n")
    words = ["--captions", captions, "--clip", networks / "clip", "--out", clips / "clipsim.json"]
    ended = evaluate("clipsim", clips / "clips", *words)
    assert ended.exit_code == 0
    values = json.loads((clips / "clipsim.json").read_text())["values"]
    assert values["num_clips"] == 2
    assert values["clipsim"] == pytest.approx(np.mean(list(values["clips"].values())))
    words = ["--clip", networks / "clip", "--x-clip", networks / "x_clip", "--out", clips / "similarity.json"]
    places = ["--sources", clips / "sources", "--targets", clips / "clips"]
    ended = evaluate("similarity", clips / "clips", *places, *words)
    assert ended.exit_code == 0
    values = json.loads((clips / "similarity.json").read_text())["values"]
    assert -1 <= values["source"] <= 1
    assert values["source"] != values["target"]


def test_pic_command_prints_and_writes_its_value(clips, dreamsim, monkeypatch):
    monkeypatch.syspath_prepend(dreamsim)
    monkeypatch.delitem(sys.modules, "dreamsim", raising=False)
    try:
        ended = evaluate("pic", clips / "clips", "--sources", clips / "sources", "--out", clips / "pic.json")
    finally:
        sys.modules.pop("dreamsim", None)
    values = json.loads((clips / "pic.json").read_text())["values"]
    assert 0.5 < values["pic"] < 1
    assert ended.stdout.strip() == f"PIC of 2 clips: {values['pic']:.4f}"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["motion", "gone"], "gone is not a folder"),
        (["motion", "empty"], "empty holds no clip"),
        (["motion", "clips", "--motion", "2,x"], "--motion is '2,x'"),
        (["motion", "clips", "--motion", "2,4,8"], "clips/clip0 has 2 frames to measure, but 3 motions"),
        (["motion", "clips", "--sources", "empty"], "empty has neither an image nor a clip named clip0"),
        (["fvd", "clips", "sources", "--i3d", "i3d"], "sources holds images, not clips"),
        (["fvd", "clips", "clips", "--i3d", "i3d"], "FVD cannot be estimated from 2 videos"),
        (["fvd", "clips", "longer", "--i3d", "i3d"], "clips has 2 clips and longer 1"),
        (["fvd", "clips", "clips", "--i3d", "gone.pt"], "there are no weights of I3D at gone.pt"),
        (["clipsim", "clips", "--captions", "partial.tsv", "--clip", "clip"], "partial.tsv has no caption for clip1"),
        (["fvd", "clips", "clips", "--i3d", "i3d", "--every", "0"], "--every is 0; it must be 1 or more"),
        (["clipsim", "clips", "--captions", "untabbed.tsv", "--clip", "clip"], "(line 2 has no tab)"),
        (["clipsim", "clips", "--captions", "gone.tsv", "--clip", "clip"], "gone.tsv cannot be read as captions"),
        (
            ["clipsim", "clips", "--captions", "partial.tsv", "--clip", "empty"],
            "no CLIP model can be loaded from empty",
        ),
        (["similarity", "clips", "--clip", "clip", "--x-clip", "empty"], "no X-CLIP model can be loaded from empty"),
    ],
)
def test_bad_input_raises_a_one_line_error(clips, networks, monkeypatch, words, sentence):
    monkeypatch.chdir(clips)
    (clips / "empty").mkdir()
    (clips / "partial.tsv").write_text("clip0\ta dog runs\n")
    (clips / "untabbed.tsv").write_text("clip0\ta dog runs\nclip1 a dog\n")
    (clips / "clip").symlink_to(networks / "clip")
    (clips / "i3d").symlink_to(networks)
    save_frames(clips / "longer" / "clip0", draw_frames(range(5)))
    with pytest.raises(TrainingError, match=re.escape(sentence)) as raised:
        evaluate(*words)
    assert "\n" not in str(raised.value)


def test_command_prints_bad_input_as_one_line(tmp_path, fork_command):
    (tmp_path / "empty").mkdir()
    ended = fork_command("evaluate", "motion", tmp_path / "empty").wait()
    assert ended.returncode == 1
    assert (
        ended.stderr == f"Error: {tmp_path / 'empty'} holds no clip: a clip is a folder of images, a GIF or a video\n"
    )


def test_missing_dreamsim_raises(clips, monkeypatch):
    monkeypatch.setitem(sys.modules, "dreamsim", None)
    with pytest.raises(EvaluationError, match="PIC needs the package dreamsim, which is not installed"):
        evaluate("pic", clips / "clips")


def test_captions_are_read_from_lines_or_json(tmp_path):
    (tmp_path / "a.tsv").write_text("one\ta dog\truns\n\ntwo\ta cat\n")
    assert read_captions(tmp_path / "a.tsv") == {"one": "a dog\truns", "two": "a cat"}
    (tmp_path / "a.json").write_text('{"one": "a dog"}')
    assert read_captions(tmp_path / "a.json") == {"one": "a dog"}
    for name, text in (("b.tsv", "one a dog\n"), ("b.json", "[]"), ("c.json", "{")):
        (tmp_path / name).write_text(text)
        with pytest.raises(EvaluationError, match="cannot be read as captions"):
            read_captions(tmp_path / name)
