import numpy as np
import pytest
from PIL import Image

from tests.training.evaluation.helpers import draw_frames, save_frames, save_video
from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.clips import (
    find_clips,
    hash_clip,
    iterate_alike,
    read_frames,
    read_picture,
    resize_frames,
)


def save_gif(path, frames):
    first, *others = (Image.fromarray(frame).quantize(256) for frame in frames)
    first.save(path, save_all=True, append_images=others, duration=100)
    return path


def test_clips_of_every_kind_are_found_by_name(tmp_path):
    frames = draw_frames([0, 3, 6])
    save_frames(tmp_path / "b" / "inner", frames)
    save_gif(tmp_path / "a.gif", frames)
    save_video(tmp_path / "c.mp4", frames, "mp4v")
    save_video(tmp_path / "d.avi", frames, "XVID")
    (tmp_path / "notes.txt").write_text("no clip")
    save_frames(tmp_path / ".hidden", frames)
    found = find_clips(tmp_path)
    assert [clip.key for clip in found] == ["a", "b/inner", "c", "d"]
    for clip in found:
        read = read_frames(clip.path)
        assert read.shape == frames.shape
        assert read.dtype == np.uint8
        assert np.abs(read.astype(int) - frames).mean() < 12, clip.key


def test_frames_are_in_the_order_of_their_numbers(tmp_path):
    frames = np.arange(12, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    folder = save_frames(tmp_path / "clip", frames)
    assert read_frames(folder)[:, 0, 0, 0].tolist() == list(range(12))
    assert read_frames(folder, every=3)[:, 0, 0, 0].tolist() == [0, 3, 6, 9]
    assert read_frames(folder, every=3, num_frames=2)[:, 0, 0, 0].tolist() == [0, 3]


@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_every_third_frame(tmp_path, ending):
    frames = np.arange(0, 250, 25, dtype=np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 3), np.uint8)
    path = tmp_path / f"clip.{ending}"
    save_gif(path, frames) if ending == "gif" else save_video(path, frames, "mp4v")
    read = read_frames(path, every=3, num_frames=3)[:, 0, 0].mean(axis=1)
    np.testing.assert_allclose(read, [0, 75, 150], atol=4)


def test_transparency_is_white(tmp_path):
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "0.png")
    assert read_frames(tmp_path).min() == 255


def test_a_hash_tells_any_change(tmp_path):
    frames = draw_frames([0, 3])
    one, same = (save_frames(tmp_path / name, frames) for name in ("one", "same"))
    other = save_frames(tmp_path / "other", frames[::-1])
    assert hash_clip(one) == hash_clip(same) != hash_clip(other)


def test_resizing_keeps_what_has_the_size():
    frames = draw_frames([0, 3])
    assert resize_frames(frames, 64, 64) is frames
    assert resize_frames(frames, 32, 48).shape == (2, 48, 32, 3)


def test_a_source_is_a_picture_or_a_clips_first_frame(tmp_path):
    frames = draw_frames([0, 3])
    Image.fromarray(frames[1]).save(tmp_path / "one.png")
    save_frames(tmp_path / "two", frames)
    save_gif(tmp_path / "three.gif", frames)
    assert np.array_equal(read_picture(tmp_path, "one"), frames[1])
    assert np.array_equal(read_picture(tmp_path, "two"), frames[0])
    assert read_picture(tmp_path, "three").shape == (64, 64, 3)
    with pytest.raises(EvaluationError, match="no picture and no clip four"):
        read_picture(tmp_path, "four")


def test_folders_that_cannot_be_measured(tmp_path):
    frames = draw_frames([0, 3, 6])
    with pytest.raises(EvaluationError, match="is no folder"):
        find_clips(tmp_path / "gone")
    with pytest.raises(EvaluationError, match="holds no clip"):
        find_clips(tmp_path)
    save_frames(tmp_path / "loose", frames)
    with pytest.raises(EvaluationError, match="lie loose"):
        find_clips(tmp_path / "loose")
    save_gif(tmp_path / "loose.gif", frames)
    with pytest.raises(EvaluationError, match="two clips of one name"):
        find_clips(tmp_path)


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        (draw_frames([0, 3]), "not of one length: a has 3 frames, b 2"),
        (draw_frames([0, 3, 6], side=96, height=64), "not of one size: a is 64 x 64, b 96 x 64"),
    ],
)
def test_clips_that_are_not_alike(tmp_path, others, sentence):
    save_frames(tmp_path / "a", draw_frames([0, 3, 6]))
    save_frames(tmp_path / "b", others)
    with pytest.raises(EvaluationError, match=sentence):
        list(iterate_alike(tmp_path))


def test_clips_that_are_damaged(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"GIF89a and no more")
    (tmp_path / "a.mp4").write_bytes(b"no video")
    save_frames(tmp_path / "mixed", draw_frames([0]))
    Image.new("RGB", (8, 8)).save(tmp_path / "mixed" / "1.png")
    save_frames(tmp_path / "short", draw_frames([0, 1]))
    for name, sentence in (
        ("a.gif", "cannot be decoded"),
        ("a.mp4", "no video that can be decoded"),
        ("mixed", "several sizes, 64 x 64 and 8 x 8"),
    ):
        with pytest.raises(EvaluationError, match=sentence):
            read_frames(tmp_path / name)
    with pytest.raises(EvaluationError, match="has 2 frames of the 3 wanted"):
        read_frames(tmp_path / "short", num_frames=3)
