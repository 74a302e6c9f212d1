import numpy as np
import pytest
from PIL import Image

from tests.training.evaluation.helpers import draw_frames, save_frames, save_gif, save_video
from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.clips import find_clips, find_image, iterate_clips
from training.evaluation.inputs.frames import read_frames


def test_clips_of_every_format_are_found_and_read(tmp_path):
    frames = draw_frames([0, 3, 6])
    save_frames(tmp_path / "b" / "inner", frames)
    save_gif(tmp_path / "a.gif", frames)
    save_video(tmp_path / "c.mp4", frames, "mp4v")
    save_video(tmp_path / "d.avi", frames, "XVID")
    (tmp_path / "notes.txt").write_text("no clip")
    save_frames(tmp_path / ".hidden", frames)
    clips = find_clips(tmp_path)
    assert [clip.key for clip in clips] == ["a", "b/inner", "c", "d"]
    for clip in clips:
        read = read_frames(clip.path)
        assert read.shape == frames.shape
        assert read.dtype == np.uint8
        assert np.abs(read.astype(int) - frames).mean() < 12, clip.key


def test_source_is_an_image_or_the_first_frame_of_a_clip(tmp_path):
    frames = draw_frames([0, 3])
    Image.fromarray(frames[1]).save(tmp_path / "one.png")
    save_frames(tmp_path / "two", frames)
    save_gif(tmp_path / "three.gif", frames)
    assert np.array_equal(find_image(tmp_path, "one"), frames[1])
    assert np.array_equal(find_image(tmp_path, "two"), frames[0])
    assert find_image(tmp_path, "three").shape == (64, 64, 3)
    with pytest.raises(EvaluationError, match="neither an image nor a clip named four"):
        find_image(tmp_path, "four")


def test_folders_without_clips_raise(tmp_path):
    frames = draw_frames([0, 3, 6])
    with pytest.raises(EvaluationError, match="is not a folder"):
        find_clips(tmp_path / "gone")
    with pytest.raises(EvaluationError, match="holds no clip"):
        find_clips(tmp_path)
    save_frames(tmp_path / "images", frames)
    with pytest.raises(EvaluationError, match="holds images, not clips"):
        find_clips(tmp_path / "images")
    save_gif(tmp_path / "images.gif", frames)
    with pytest.raises(EvaluationError, match="have the same name"):
        find_clips(tmp_path)


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        (draw_frames([0, 3]), "must have the same length, but a has 3 frames and b 2"),
        (draw_frames([0, 3, 6], side=96, height=64), "must have the same size, but a is 64 x 64 and b 96 x 64"),
    ],
)
def test_clips_of_different_length_or_size_raise(tmp_path, others, sentence):
    save_frames(tmp_path / "a", draw_frames([0, 3, 6]))
    save_frames(tmp_path / "b", others)
    with pytest.raises(EvaluationError, match=sentence):
        list(iterate_clips(tmp_path))
