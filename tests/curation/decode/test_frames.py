"""Frames of one GIF are read with the limits of a run."""

import pytest

from curation.config import CurationConfig
from curation.decode import read_frames
from curation.errors import CurationError
from examples.draw_gifs import DrawnGif, draw_frames, save_gif


@pytest.fixture
def gif(tmp_path):
    path = tmp_path / "drawn.gif"
    save_gif(path, draw_frames(DrawnGif(name="", caption="", width=64, height=48, num_frames=6)), duration_ms=80)
    return path


def test_first_frames_are_decoded_at_the_requested_resolution(gif):
    frames = read_frames(gif, 32, max_frames=4)
    assert frames.rgb.shape == (4, 32, 32, 3)
    assert frames.durations_ms.tolist() == [80] * 4
    assert frames.damage is None
    assert read_frames(gif.read_bytes(), 0).rgb.shape == (6, 48, 64, 3)


def test_damaged_gif_gives_the_frames_before_the_damage(gif):
    data = gif.read_bytes()
    gif.write_bytes(data[: len(data) * 2 // 3])
    frames = read_frames(gif, 32)
    assert 2 <= len(frames.rgb) < 6
    assert "sound frames" in frames.damage


@pytest.mark.parametrize(
    ("data", "limits", "message"),
    [
        (b"<html>gone</html>", {}, "is not a GIF but an HTML page"),
        (b"GIF89a", {}, "the file ends inside the header"),
        (None, {"max_frames": 5}, "6 frames, more than the limit of 5"),
        (None, {"max_bytes": 100}, "more than the limit of 100"),
    ],
)
def test_gif_that_a_run_rejects_raises_curation_error(gif, data, limits, message):
    if data is not None:
        gif.write_bytes(data)
    with pytest.raises(CurationError, match=message):
        read_frames(gif, limits=CurationConfig(**limits))
