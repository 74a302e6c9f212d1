"""Videos are sampled by time, rotated as they ask, and only as far decoded as samples need."""

import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from curation.config import CurationConfig
from curation.decode import read_frames
from examples.draw_formats import VIDEOS, encode
from tests.curation.decode.formats.helpers import (
    decode_wanted,
    draw_numbered,
    encode_audio,
    encode_plain,
    number_of,
    patch,
)

_QUARTER_TURN = b"".join(value.to_bytes(4, "big", signed=True) for value in (0, 1 << 16, 0, -(1 << 16), 0))
"""The display matrix of a telephone held upright: a quarter turn to the right."""


@pytest.mark.parametrize("name", VIDEOS)
@pytest.mark.parametrize("fps", [10.0, 30.0, 7.5, 3.0])
def test_sample_k_is_the_frame_that_is_shown_at_k_over_fps(name: str, fps: float) -> None:
    durations_ms = [100, 300, 40, 60, 33, 67, 500, 100]
    data = encode(draw_numbered(8), name, durations_ms=durations_ms)
    ends_ms = np.cumsum(durations_ms)
    read = read_frames(data, 0, limits=CurationConfig(fps=fps))
    times_ms = [1000 * k / fps for k in range(len(read.rgb))]
    expected = [int(np.searchsorted(ends_ms, at, side="right")) for at in times_ms]
    assert [number_of(rgb, 8) for rgb in read.rgb] == expected
    assert abs(len(read.rgb) - 1200 * fps / 1000) <= 1  # The encoder may store another duration of the last frame.
    starts_ms = np.cumsum([0, *read.durations_ms])
    np.testing.assert_allclose(starts_ms[:-1], times_ms, atol=0.5)


def test_whole_seconds_at_ten_a_second_are_ten_frames_of_a_tenth() -> None:
    read = read_frames(encode_plain(20), 0)
    assert read.durations_ms.tolist() == [100] * 20
    assert [number_of(rgb, 20) for rgb in read.rgb] == list(range(20))


def test_audio_is_ignored() -> None:
    frames = draw_numbered(10)
    assert len(read_frames(encode_audio(with_video=frames), 0).rgb) == 10


def test_rotated_video_is_turned_as_it_asks() -> None:
    frames = [Image.new("RGB", (64, 48), "black") for _ in range(4)]
    for frame in frames:
        frame.paste("white", (0, 0, 32, 24))  # Top left; a quarter turn to the right brings it to the top right.
    data = patch(encode(frames, "mp4"), b"tkhd", 40, _QUARTER_TURN)
    rgb = read_frames(data, 0).rgb
    assert rgb.shape == (4, 64, 48, 3)
    assert rgb[0, :28, 28:].mean() > 200
    assert rgb[0, :28, :20].mean() < 50


def test_colours_of_small_and_large_videos_are_those_of_browsers() -> None:
    """Untagged pixels are BT.601 below 720 lines."""
    frame = Image.new("RGB", (64, 48), (200, 30, 60))
    assert np.abs(read_frames(encode([frame] * 3, "mp4"), 0).rgb[0, 20, 20] - np.array([200, 30, 60])).max() <= 3


def test_far_samples_of_a_long_video_skip_what_lies_between() -> None:
    data = encode_plain(1200, g="12", preset="ultrafast")
    started_s = time.process_time()
    whole = decode_wanted(data, list(range(1200)), resolution=16)
    whole_s = time.process_time() - started_s
    started_s = time.process_time()
    few = decode_wanted(data, [0, 601, 1199], resolution=16)
    few_s = time.process_time() - started_s
    for index, rgb in few.items():
        np.testing.assert_array_equal(rgb, whole[index])
    assert few_s < whole_s / 3


def test_without_pyav_a_video_is_refused_with_what_to_install(tmp_path) -> None:
    (tmp_path / "a.mp4").write_bytes(encode_plain(3))
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.modules['av'] = None\n"
         "from curation.decode import read_frames\nread_frames(sys.argv[1])", str(tmp_path / "a.mp4")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "an MP4 video, which needs PyAV: pip install 'pix2gif[video]'" in done.stderr
