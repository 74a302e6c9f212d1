import numpy as np
import pytest
from PIL import Image

from tests.training.evaluation.helpers import draw_frames, save_frames, save_gif, save_video
from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.frames import hash_clip, read_frames, resize_frames


def test_images_are_read_in_numeric_order(tmp_path):
    frames = np.arange(12, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    folder = save_frames(tmp_path / "clip", frames)
    assert read_frames(folder)[:, 0, 0, 0].tolist() == list(range(12))
    assert read_frames(folder, every=3)[:, 0, 0, 0].tolist() == [0, 3, 6, 9]
    assert read_frames(folder, every=3, num_frames=2)[:, 0, 0, 0].tolist() == [0, 3]
    assert read_frames(folder, every=3, num_frames=3, start=1)[:, 0, 0, 0].tolist() == [1, 4, 7]


@pytest.mark.parametrize("suffix", ["gif", "mp4"])
def test_every_third_frame_is_read(tmp_path, suffix):
    frames = np.arange(0, 250, 25, dtype=np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 3), np.uint8)
    path = tmp_path / f"clip.{suffix}"
    save_gif(path, frames) if suffix == "gif" else save_video(path, frames, "mp4v")
    read = read_frames(path, every=3, num_frames=3)[:, 0, 0].mean(axis=1)
    np.testing.assert_allclose(read, [0, 75, 150], atol=4)
    later = read_frames(path, every=3, num_frames=3, start=1)[:, 0, 0].mean(axis=1)
    np.testing.assert_allclose(later, [25, 100, 175], atol=4)


def test_transparent_pixels_are_white(tmp_path):
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "0.png")
    assert read_frames(tmp_path).min() == 255


def test_hash_depends_on_content_and_order(tmp_path):
    frames = draw_frames([0, 3])
    one, same = (save_frames(tmp_path / name, frames) for name in ("one", "same"))
    other = save_frames(tmp_path / "other", frames[::-1])
    assert hash_clip(one) == hash_clip(same) != hash_clip(other)


def test_resize_returns_frames_that_have_the_size_already():
    frames = draw_frames([0, 3])
    assert resize_frames(frames, 64, 64) is frames
    assert resize_frames(frames, 32, 48).shape == (2, 48, 32, 3)


def test_damaged_clips_raise(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"GIF89a and no more")
    (tmp_path / "a.mp4").write_bytes(b"no video")
    save_frames(tmp_path / "mixed", draw_frames([0]))
    Image.new("RGB", (8, 8)).save(tmp_path / "mixed" / "1.png")
    save_frames(tmp_path / "short", draw_frames([0, 1]))
    for name, sentence in (
        ("a.gif", "cannot be decoded"),
        ("a.mp4", "not a video that OpenCV can decode"),
        ("mixed", "several sizes, 64 x 64 and 8 x 8"),
    ):
        with pytest.raises(EvaluationError, match=sentence):
            read_frames(tmp_path / name)
    with pytest.raises(EvaluationError, match="has 2 frames, but 3 are needed"):
        read_frames(tmp_path / "short", num_frames=3)
