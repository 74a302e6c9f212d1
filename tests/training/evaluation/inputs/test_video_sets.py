import json

import pytest

from tests.training.evaluation.helpers import draw_frames, draw_msrvtt, draw_ucf101, save_video
from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.video_sets import draw_videos, find_msrvtt, find_ucf101, split_at_capitals


@pytest.mark.parametrize(
    ("name", "caption"),
    [
        ("ApplyEyeMakeup", "Apply Eye Makeup"),
        ("YoYo", "Yo Yo"),
        ("Archery", "Archery"),
        ("TaiChi", "Tai Chi"),
        ("kiteFlying", "kite Flying"),
    ],
)
def test_class_names_are_split_at_capitals(name, caption):
    assert split_at_capitals(name) == caption


def test_ucf101_is_read_as_downloaded(tmp_path):
    clips = find_ucf101(draw_ucf101(tmp_path, 4))
    assert [clip.key for clip in clips] == [
        "v_ApplyEyeMakeup_g01_c01", "v_ApplyEyeMakeup_g02_c01", "v_Archery_g01_c01", "v_Archery_g02_c01",
        "v_YoYo_g01_c01",
    ]  # fmt: skip
    assert clips[0].caption == "Apply Eye Makeup"
    assert clips[-1].path.parts[-3:] == ("UCF-101", "YoYo", "v_YoYo_g01_c01.avi")


def test_msrvtt_is_read_as_downloaded(tmp_path):
    folder = draw_msrvtt(tmp_path, 3)
    clips = find_msrvtt(folder, seed=1)
    assert [clip.key for clip in clips] == ["video7010", "video7011", "video7012"]
    assert clips == find_msrvtt(folder, seed=1)
    assert {clip.caption for seed in range(8) for clip in find_msrvtt(folder, seed)[:1]} == {
        "a dog runs 0 0", "a dog runs 0 1",
    }  # fmt: skip


def test_msrvtt_is_read_from_two_listings(tmp_path):
    """The first release has one JSON for train and val and one for test, and the videos in two folders."""
    draw_msrvtt(tmp_path, 2)
    save_video(tmp_path / "TrainValVideo" / "video0.mp4", draw_frames(range(12)), "mp4v")
    listing = {
        "videos": [{"video_id": "video0", "split": "train"}],
        "sentences": [{"video_id": "video0", "caption": "a man cooks"}],
    }
    (tmp_path / "train_val_videodatainfo.json").write_text(json.dumps(listing))
    assert [clip.key for clip in find_msrvtt(tmp_path)] == ["video7010", "video7011"]


def test_seed_determines_the_drawn_videos_and_short_ones_are_skipped(tmp_path):
    clips = find_ucf101(draw_ucf101(tmp_path, 5))
    drawn = draw_videos(clips, 3, num_frames=10, seed=1)
    assert drawn == draw_videos(clips, 3, num_frames=10, seed=1)
    assert drawn == sorted(drawn, key=lambda clip: clip.key)
    assert len({tuple(draw_videos(clips, 3, num_frames=10, seed=seed)) for seed in range(5)}) > 1
    all_long = draw_videos(clips, 5, num_frames=10, seed=1)
    assert {clip.key for clip in clips} - {clip.key for clip in all_long} == {"v_YoYo_g02_c01"}
    with pytest.raises(EvaluationError, match="only 5 of 6 videos have 10 frames, fewer than the 6 to draw"):
        draw_videos(clips, 6, num_frames=10, seed=1)


def test_folders_without_a_data_set_raise(tmp_path):
    with pytest.raises(EvaluationError, match="no UCF-101 in"):
        find_ucf101(tmp_path)
    with pytest.raises(EvaluationError, match="no JSON of MSR-VTT"):
        find_msrvtt(tmp_path)
    (tmp_path / "info.json").write_text('{"videos": [{"video_id": "video1"}], "sentences": [{}]}')
    with pytest.raises(EvaluationError, match=r"info.json is not a listing of MSR-VTT: KeyError\('video_id'\)"):
        find_msrvtt(tmp_path)
    sentence = {"video_id": "video1", "caption": "a dog"}
    (tmp_path / "info.json").write_text(json.dumps({"videos": [{"video_id": "video1"}], "sentences": [sentence]}))
    with pytest.raises(EvaluationError, match="none of its videos"):
        find_msrvtt(tmp_path)
    (tmp_path / "info.json").write_text("{")
    with pytest.raises(EvaluationError, match="cannot be read as JSON"):
        find_msrvtt(tmp_path)


def test_two_copies_of_a_video_raise(tmp_path):
    draw_ucf101(tmp_path / "one", 1)
    draw_ucf101(tmp_path / "two", 1)
    with pytest.raises(EvaluationError, match="are the same video"):
        find_ucf101(tmp_path)
