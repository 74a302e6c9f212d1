"""The same scene gives the same frames and the same motion in every format, with its own durations."""

import io

import numpy as np
import pytest
from PIL import Image

from curation.decode import read_frames
from curation.file_format import FileFormat, detect_format
from examples.draw_formats import FORMATS, PICTURES, VIDEOS, encode
from tests.curation.decode.formats.helpers import (
    NUM_FRAMES,
    decode_wanted,
    draw_numbered,
    draw_scene,
    encode_plain,
    measure,
)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The scene in every format."""
    frames = draw_scene()
    return {name: encode(frames, name) for name in FORMATS}


@pytest.mark.parametrize("name", FORMATS)
def test_format_is_told_by_the_bytes(files: dict[str, bytes], name: str) -> None:
    assert detect_format(files[name]) is FileFormat(name)


@pytest.mark.parametrize("name", ["webp", "apng"])
def test_lossless_formats_give_the_frames_and_the_motion_of_the_gif(files: dict[str, bytes], name: str) -> None:
    expected, read = read_frames(files["gif"]), read_frames(files[name])
    np.testing.assert_array_equal(read.rgb, expected.rgb)
    assert read.durations_ms.tolist() == expected.durations_ms.tolist()
    np.testing.assert_allclose(measure(read.rgb), measure(expected.rgb), atol=0.05)


def test_mp4_gives_the_motion_of_the_gif(files: dict[str, bytes]) -> None:
    expected, motion_px = (measure(read_frames(files[name]).rgb) for name in ("gif", "mp4"))
    in_range = (expected >= 2) & (expected <= 20)
    assert in_range.sum() >= 50
    assert (np.abs(motion_px - expected)[in_range] <= 0.2).mean() >= 0.95


@pytest.mark.parametrize("name", ["avif", *VIDEOS])
def test_lossy_formats_give_nearly_the_frames_of_the_gif(files: dict[str, bytes], name: str) -> None:
    expected, read = read_frames(files["gif"]), read_frames(files[name])
    assert read.rgb.shape == expected.rgb.shape
    assert read.durations_ms.tolist() == [100] * NUM_FRAMES
    assert np.abs(read.rgb.astype(float) - expected.rgb).mean() < 4


@pytest.mark.parametrize("name", FORMATS)
def test_wanted_frames_are_those_of_the_whole_animation(files: dict[str, bytes], name: str) -> None:
    whole = read_frames(files[name], 64).rgb
    some = decode_wanted(files[name], [1, 2, 7, NUM_FRAMES - 1], resolution=64)
    assert list(some) == [1, 2, 7, NUM_FRAMES - 1]
    for index, rgb in some.items():
        np.testing.assert_array_equal(rgb, whole[index])


@pytest.mark.parametrize("name", ["webp", "apng", "avif"])
def test_durations_are_those_of_the_file_and_too_short_ones_those_of_browsers(name: str) -> None:
    data = encode(draw_numbered(6), name, durations_ms=[100, 300, 40, 10, 5, 70])
    assert read_frames(data, 0).durations_ms.tolist() == [100, 300, 40, 100, 100, 70]


def test_fractions_of_milliseconds_do_not_add_up_to_an_error() -> None:
    data = bytearray(encode(draw_numbered(12), "apng", durations_ms=33))
    at = data.find(b"fcTL")
    while at > 0:
        data[at + 24 : at + 28] = b"\0\x01\0\x1e"  # 1/30 s.
        size = int.from_bytes(data[at - 4 : at], "big")
        data[at + 4 + size : at + 8 + size] = _crc(bytes(data[at : at + 4 + size]))
        at = data.find(b"fcTL", at + 4)
    durations_ms = read_frames(bytes(data), 0).durations_ms
    assert sorted(set(durations_ms.tolist())) == [33, 34]
    assert durations_ms.sum() == 400


def _crc(chunk: bytes) -> bytes:
    import zlib

    return zlib.crc32(chunk).to_bytes(4, "big")


@pytest.mark.parametrize("name", ["webp", "apng", "avif", "webm"])
def test_transparent_pixels_are_white_and_half_of_it_is_half_white(name: str) -> None:
    frames = []
    for k, opaque in enumerate(draw_numbered(4, (64, 64))):
        frame = opaque.convert("RGBA")
        frame.putalpha(Image.new("L", frame.size, 128))
        frame.paste((0, 0, 0, 0), (0, 0, 64, 32))
        frame.paste((0, 0, 0, 255), (32 + k, 40, 40 + k, 48))
        frames.append(frame)
    rgb = read_frames(encode(frames, name, pixels="yuva420p"), 0).rgb
    assert rgb[:, 4:28, 4:60].min() >= 250
    expected = [(frame.getpixel((4, 60))[0] + 255) / 2 for frame in frames]
    np.testing.assert_allclose(rgb[:, 56:, 4:28].mean(axis=(1, 2, 3)), expected, atol=4)


def test_apng_whose_first_picture_is_for_other_viewers_starts_with_its_first_frame() -> None:
    file = io.BytesIO()
    shown = draw_numbered(4)
    Image.new("RGB", (64, 48), "red").save(
        file, "PNG", save_all=True, append_images=shown, default_image=True, duration=100
    )
    rgb = read_frames(file.getvalue(), 0).rgb
    assert len(rgb) == 4
    assert rgb[0, 0, 0].tolist() == list(shown[0].getpixel((0, 0)))


@pytest.mark.parametrize("name", [*PICTURES, "mp4"])
def test_first_frames_alone_are_decoded_on_request(name: str) -> None:
    assert read_frames(encode_plain(6, name), 32, max_frames=2).rgb.shape == (2, 32, 32, 3)
