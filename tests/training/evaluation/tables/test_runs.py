"""Table 1, Table 2 and Figure 7 made by the command, from small drawn inputs and small random networks."""

import csv
import json
import time

import numpy as np
import psutil
import pytest
from PIL import Image

from shards.errors import DatasetError
from tests.training.evaluation.helpers import draw_frames, draw_msrvtt, draw_ucf101, evaluate, save_frames
from tests.training.helpers import forking, run_command, run_ranks, start_command
from training.errors import TrainingError
from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.video_sets import find_msrvtt, find_ucf101
from training.model.errors import ModelError

NUM_VIDEOS = 8
MOTION = "2,4,6"


def written(out):
    """Return when the generated frames of each clip were written."""
    return {path: path.stat().st_mtime_ns for path in out.rglob("work/*/*/*/recipe.json")}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Draw UCF-101, MSR-VTT, and the frames that another model generated for their clips."""
    folder = tmp_path_factory.mktemp("videos")
    ucf101, msrvtt = draw_ucf101(folder / "ucf", NUM_VIDEOS), draw_msrvtt(folder / "vtt", NUM_VIDEOS)
    for name, clips in (("ucf-101", find_ucf101(ucf101)), ("msr-vtt", find_msrvtt(msrvtt))):
        for number, clip in enumerate(clips):
            save_frames(folder / "other" / name / clip.key, draw_frames([0, 1, number], seed=number))
    return folder


@pytest.fixture(scope="module")
def table1_words(videos, networks, model):
    return [
        "table1", "--ucf101", videos / "ucf", "--msrvtt", videos / "vtt", "--model", f"small={model}",
        "--frames", f"other={videos / 'other'}", "--num-videos", NUM_VIDEOS, "--motion", MOTION, "--resolution", 64,
        "--steps", 1, "--i3d", networks, "--clip", networks / "clip",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def table1_out(table1_words, dreamsim, forks, tmp_path_factory):
    """Make Table 1 with two processes, forked with the variables that torchrun sets."""
    folder = tmp_path_factory.mktemp("table1")
    out = folder / "out"
    with forking(forks, folder) as fork_command:
        run_ranks(fork_command, 2, "evaluate", *table1_words, "--out", out, PYTHONPATH=dreamsim)
    return out


def test_table_1_has_published_and_measured_rows(table1_out):
    rows = list(csv.reader((table1_out / "table1.csv").open()))
    assert rows[3][:4] == ["Pix2Gif (published)", "285.02", "0.2815", "0.8763"]
    assert [row[0] for row in rows[4:]] == ["small", "other"]
    assert all(float(figure) == float(figure) for row in rows[4:] for figure in row[1:])
    assert "biased upwards" in (table1_out / "table1.md").read_text()
    assert r"\begin{tabular}{lrrrrrr}" in (table1_out / "table1.tex").read_text()


def test_result_records_config_weights_and_software(table1_out, model):
    result = json.loads((table1_out / "table1.json").read_text())
    assert result["config"]["sampling"]["motion_px"] == [2, 4, 6]
    assert result["config"]["sampling"]["image_guidance"] == 2.0
    assert result["config"]["protocol"]["seed"] == 1371
    assert {len(sha256) for sha256 in result["weights"]["metrics"].values()} == {64}
    assert result["weights"]["metrics"].keys() == {"i3d", "clip", "dreamsim"}
    assert result["weights"]["methods"]["small"]["location"] == str(model)
    assert len(result["weights"]["methods"]["small"]["sha256"]["unet"]) == 64
    assert result["software"]["torch"] != "none"
    assert result["values"]["small"]["ucf-101"]["fvd"]["num_videos"] == NUM_VIDEOS


def test_table_1_writes_inputs_for_other_models(table1_out):
    lines = (table1_out / "inputs" / "ucf-101" / "captions.tsv").read_text().splitlines()
    assert len(lines) == NUM_VIDEOS
    key, caption = lines[0].split("\t")
    assert (key, caption) == ("v_ApplyEyeMakeup_g01_c01", "Apply Eye Makeup")
    with Image.open(table1_out / "inputs" / "ucf-101" / f"{key}.png") as source:
        assert source.size == (64, 64)


def test_generated_frames_are_kept_as_clips(table1_out):
    folder = table1_out / "work" / "ucf-101" / "small"
    clips = [path for path in folder.iterdir() if path.is_dir()]
    assert len(clips) == NUM_VIDEOS
    assert all(len(list(clip.glob("*.png"))) == 3 for clip in clips)


def test_cached_frames_are_reused_and_one_process_gives_the_same_values(table1_out, table1_words, tmp_path):
    first, times = json.loads((table1_out / "table1.json").read_text())["values"], written(table1_out)
    words = [*table1_words, "--metrics", "fvd,clipsim"]
    evaluate(*words, "--out", tmp_path / "alone")
    evaluate(*words, "--out", table1_out)
    assert written(table1_out) == times
    again, alone = (json.loads((out / "table1.json").read_text())["values"] for out in (table1_out, tmp_path / "alone"))
    for method in ("small", "other"):
        for name in ("ucf-101", "msr-vtt"):
            expected = first[method][name]
            assert again[method][name]["fvd"] == expected["fvd"]
            assert alone[method][name]["fvd"]["fvd"] == pytest.approx(expected["fvd"]["fvd"], rel=1e-4)
            assert alone[method][name]["clipsim"] == pytest.approx(expected["clipsim"], abs=1e-5)


def test_other_options_generate_frames_again(table1_out, table1_words):
    times = written(table1_out)
    evaluate(*table1_words, "--metrics", "clipsim", "--num-videos", 1, "--image-guidance", 1.5, "--out", table1_out)
    changed = [path for path, time_ns in written(table1_out).items() if time_ns != times[path]]
    assert len(changed) == 2  # One video of each data set.


@pytest.fixture(scope="module")
def grid_words(small_shards, model):
    return [small_shards, "--model", f"small={model}", "--num-pairs", 2, "--steps", 1, "--image-guidance", "1.4,2.0"]


def test_table_2_command_writes_all_files(grid_words, tmp_path, fork_command):
    ended = fork_command("evaluate", "table2", *grid_words, "--motion", MOTION, "--out", tmp_path).wait()
    assert ended.returncode == 0, ended.stderr
    assert "small 1.4: 2 of 2 clips (100 %)" in ended.stderr
    result = json.loads((tmp_path / "table2.json").read_text())
    for scale in ("1.4", "2.0"):
        coherency = result["values"]["small"][scale]
        assert coherency["requested_px"] == [2, 4, 6]
        assert coherency["num_clips"] == 2
        assert coherency["averaged"]["rms_px"] == pytest.approx(
            np.sqrt(np.mean((np.array(coherency["measured_px"]) - [2, 4, 6]) ** 2))
        )
    assert len(result["config"]["pairs"]) == 2
    with Image.open(tmp_path / "table2.png") as picture:
        assert picture.width > picture.height
    assert "| Pix2Gif (published) | 1.4 | 1.7460 |" in (tmp_path / "table2.md").read_text()


def test_table_2_of_frames_shifted_by_the_requested_motion_has_no_error(small_shards, tmp_path):
    from training.evaluation.inputs.val_pairs import draw_pairs

    for pair in draw_pairs(small_shards, 2, seed=1371):
        frames = np.stack([np.roll(pair.source, shift, axis=1) for shift in (2, 4, 8)])
        save_frames(tmp_path / "other" / "1.8" / pair.key, frames)
    words = ["--motion", "2,4,8", "--image-guidance", "1.8", "--num-pairs", 2, "--out", tmp_path / "out"]
    evaluate("table2", small_shards, "--frames", tmp_path / "other", *words)
    averaged = json.loads((tmp_path / "out" / "table2.json").read_text())["values"]["other"]["1.8"]["averaged"]
    assert averaged["pearson"] > 0.99
    assert averaged["rms_px"] < 0.6


def test_figure_7_command_writes_all_files(grid_words, networks, tmp_path, fork_command):
    words = ["--clip", networks / "clip", "--x-clip", networks / "x_clip", "--out", tmp_path]
    ended = fork_command("evaluate", "figure7", *grid_words, "--motion", "2,3,4,5,6,7,8,9", "--batch", 3, *words).wait()
    assert ended.returncode == 0, ended.stderr
    values = json.loads((tmp_path / "figure7.json").read_text())["values"]["small"]
    assert values.keys() == {"1.4", "2.0"}
    assert all(-1 <= score <= 1 for scores in values.values() for score in scores.values())
    assert values["1.4"] != values["2.0"]
    rows = list(csv.reader((tmp_path / "figure7.csv").open()))
    assert [row[:2] for row in rows[1:]] == [["small", "1.4"], ["small", "2.0"]]
    assert (tmp_path / "figure7.png").stat().st_size > 5_000


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("table2 shards", "nothing to evaluate"),
        ("table2 shards --model gone --num-pairs 1", "no Pix2Gif pipeline can be loaded from gone"),
        ("table2 empty --model model", "empty: no dataset.json"),
        ("table2 shards --model model --num-pairs 11", "10 pairs in val, fewer than the 11 to draw"),
        ("table2 shards --model a/b=model", "must be NAME=LOCATION"),
        ("table2 shards --model model --frames model=other", "two methods are named model"),
        ("table2 shards --model model --image-guidance two", "--image-guidance is 'two'"),
        ("table2 shards --model model --motion -2", "each 0 or more pixels"),
        ("table2 shards --model model --resolution 40 --num-pairs 1", "multiples of 32"),
        ("table2 shards --frames other --num-pairs 1", "1.4 is not a folder"),
        ("table1 --model model", "there is no data set"),
        ("table1 --model model --ucf101 empty --metrics fid", "the metrics are fid"),
        ("table1 --model model --ucf101 empty --metrics clipsim", "no UCF-101 in empty"),
        ("table1 --frames other --ucf101 ucf --metrics clipsim", "set a smaller --num-videos"),
        (
            "table1 --frames other --ucf101 ucf --metrics fvd --num-videos 2 --motion 2",
            "FVD cannot be estimated from 2",
        ),
        (
            "table1 --frames other --ucf101 ucf --metrics fvd --num-videos 8 --motion 2,3",
            "3 frames, but the protocol needs 2",
        ),
    ],
)
def test_bad_input_raises_a_one_line_error(
    small_shards, videos, model, networks, tmp_path, monkeypatch, words, sentence
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name, place in (
        ("shards", small_shards),
        ("model", model),
        ("ucf", videos / "ucf"),
        ("other", videos / "other"),
    ):
        (tmp_path / name).symlink_to(place)
    networks = ["--i3d", networks, "--clip", networks / "clip", "--resolution", 64] if "table1" in words else []
    with pytest.raises((TrainingError, DatasetError), match=sentence) as raised:
        evaluate(*words.split(), *networks, "--out", "out")
    assert "\n" not in str(raised.value)


def test_missing_model_raises_before_frames_are_generated(small_shards, model, tmp_path):
    models = ["--model", f"small={model}", "--model", f"other={tmp_path / 'gone'}"]
    with pytest.raises(ModelError, match="gone"):
        evaluate("table2", small_shards, *models, "--num-pairs", 1, "--steps", 1, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_clip_of_another_model_raises(videos, networks, tmp_path):
    save_frames(tmp_path / "other" / "ucf-101" / "v_Archery_g99_c01", draw_frames([0, 1, 2]))
    words = ["--metrics", "clipsim", "--clip", networks / "clip", "--num-videos", 2, "--motion", MOTION]
    with pytest.raises(EvaluationError, match="has no clip v_"):
        evaluate(
            "table1", "--ucf101", videos / "ucf", "--frames", tmp_path / "other", *words, "--out", tmp_path / "out"
        )
    # The inputs for the other model are written first.
    assert len(list((tmp_path / "out" / "inputs" / "ucf-101").glob("*.png"))) == 2


@pytest.mark.slow
def test_killed_run_continues_with_other_processes_to_the_same_table(grid_words, tmp_path):
    """Kill a run of two processes; continue with three, and compare with one that was never stopped."""
    words = ["evaluate", "table2", *grid_words, "--num-pairs", 6, "--motion", MOTION, "--steps", 60]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run_command(*words, "--out", whole).returncode == 0
    started = start_command(*words, "--out", cut, processes=2)
    while started.poll() is None and len(list(cut.rglob("recipe.json"))) < 3:
        time.sleep(0.05)
    family = [*psutil.Process(started.pid).children(recursive=True), started]
    for process in family:
        process.kill()
    started.communicate()
    before = written(cut)
    assert 3 <= len(before) < 12
    ended = run_command(*words, "--out", cut, processes=3)
    assert ended.returncode == 0, ended.stderr
    assert before.items() <= written(cut).items()
    one, other = (json.loads((out / "table2.json").read_text())["values"]["small"] for out in (whole, cut))
    for scale, expected in one.items():
        assert other[scale]["measured_px"] == pytest.approx(expected["measured_px"], abs=0.05)
