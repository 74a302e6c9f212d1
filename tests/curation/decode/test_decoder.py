"""Frames are decoded as a browser shows them, on white; a damaged file keeps the frames before the damage."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from curation.config import SOURCE_SIZE
from curation.decode.decoder import FrameDecoder, UndecodableError, compute_start_times_ms
from tests.curation.decode.helpers import gif_frame, gif_start
from tests.strategies import gif_like_bytes

WHITE, RED, BLUE = (255, 255, 255), (255, 0, 0), (0, 0, 255)


def open_gif(data: bytes, resolution: int = SOURCE_SIZE, wanted: frozenset[int] | None = None) -> FrameDecoder:
    return FrameDecoder(data, resolution, max_pixels=2**24, wanted=wanted)


def decode(data: bytes, resolution: int = SOURCE_SIZE) -> NDArray[np.uint8]:
    """Decode all frames, uint8 [T, H, W, 3]."""
    return np.stack([frame.rgb for frame in open_gif(data, resolution)])


def decode_with_pillow(path: Path) -> NDArray[np.uint8]:
    """Decode with Pillow alone: each frame pasted on white and resized to 256 x 256."""
    frames = []
    with Image.open(path) as gif:
        for page in ImageSequence.Iterator(gif):
            picture = page.convert("RGBA")
            white = Image.new("RGB", picture.size, WHITE)
            white.paste(picture, mask=picture.getchannel("A"))
            frames.append(np.asarray(white.resize((256, 256), Image.Resampling.LANCZOS)))
    return np.stack(frames)


def boxes_gif(*boxes: tuple[int, int, int, int], disposal: int = 1, delay_ms: int = 100) -> bytes:
    """Return a transparent GIF of 4 x 4 pixels with one box per frame: red in the first frame, blue in the others."""
    frames = []
    for number, box in enumerate(boxes):
        frame = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
        frame.paste((*(BLUE if number else RED), 255), box)
        frames.append(frame)
    file = io.BytesIO()
    kwargs = {"disposal": disposal, "duration": delay_ms, "loop": 0, "optimize": False}
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], **kwargs)
    return file.getvalue()


def test_drawn_gifs_decode_as_with_pillow_alone(listing: Path) -> None:
    for path in sorted((listing.parent / "gifs").glob("texture_00[0-2].gif")):
        assert np.array_equal(decode(path.read_bytes(), 256), decode_with_pillow(path))


@pytest.mark.parametrize(
    "name",
    [
        "natural/gifliberry_let-the-shipping-begin.gif",
        "natural/gifliberry_weeping.gif",
        "conformance/pillow/dispose_bgnd_transparency.gif",
        "conformance/pillow/dispose_prev_first_frame.gif",
        "conformance/image-gif/interlaced.gif",
        "conformance/giflib/x-trans.gif",
        "conformance/pygif/animation.gif",
    ],
)
def test_real_gifs_decode_as_with_pillow_alone(real_gifs: Path, name: str) -> None:
    assert np.array_equal(decode((real_gifs / name).read_bytes(), 256), decode_with_pillow(real_gifs / name))


def test_transparent_pixels_are_white_and_partial_frames_are_drawn_over_the_previous_one() -> None:
    data = boxes_gif((0, 0, 2, 2), (2, 2, 3, 4))
    with Image.open(io.BytesIO(data)) as gif:
        gif.seek(1)
        assert gif.tile[0][1] != (0, 0, 4, 4)  # The file stores only part of the second frame.
    first, second = decode(data)
    assert (first[:2, :2] == RED).all()
    assert (first[2:] == WHITE).all()
    assert (first[:, 2:] == WHITE).all()
    assert (second[:2, :2] == RED).all()
    assert (second[2:, 2] == BLUE).all()
    assert (second[2:, 3] == WHITE).all()


def test_background_disposal_clears_to_white() -> None:
    _, second = decode(boxes_gif((0, 0, 2, 2), (2, 2, 4, 4), disposal=2))
    assert (second[:2, :2] == WHITE).all()
    assert (second[2:, 2:] == BLUE).all()


@pytest.mark.parametrize(("delay_ms", "duration_ms"), [(0, 100), (10, 100), (20, 20), (30, 30), (1000, 1000)])
def test_delays_below_20_ms_become_100_ms(delay_ms: int, duration_ms: int) -> None:
    data = gif_start(1, 1) + gif_frame(delay_cs=delay_ms // 10) * 3 + b";"
    assert [frame.duration_ms for frame in open_gif(data)] == [duration_ms] * 3


def test_missing_delay_is_not_inherited_from_the_previous_frame() -> None:
    data = gif_start(1, 1) + gif_frame(delay_cs=50) + gif_frame()[8:] + b";"
    assert [frame.duration_ms for frame in open_gif(data)] == [500, 100]


def test_start_time_is_the_sum_of_earlier_durations() -> None:
    starts = compute_start_times_ms([100, 20, 3000])
    assert starts.dtype == np.int64
    assert starts.tolist() == [0, 100, 120]
    assert compute_start_times_ms([50]).tolist() == [0]
    assert compute_start_times_ms([655_350] * 3_501)[-1] == 3_500 * 655_350


@pytest.mark.parametrize("resolution", [SOURCE_SIZE, 64])
def test_wanted_frames_equal_those_of_a_full_decode(listing: Path, resolution: int) -> None:
    data = (listing.parent / "gifs" / "texture_003.gif").read_bytes()
    whole = decode(data, resolution)
    frames = {frame.index: frame.rgb for frame in open_gif(data, resolution, frozenset({2, 5}))}
    assert list(frames) == [2, 5]
    assert all(np.array_equal(rgb, whole[k]) for k, rgb in frames.items())


def test_truncated_file_keeps_the_frames_before_the_damage(listing: Path) -> None:
    data = (listing.parent / "gifs" / "texture_001.gif").read_bytes()
    whole = decode(data)
    decoder = open_gif(data[: len(data) // 2])
    frames = [frame.rgb for frame in decoder]
    assert 2 <= len(frames) < len(whole)
    assert np.array_equal(np.stack(frames), whole[: len(frames)])
    assert decoder.damage
    assert decoder.damage.startswith(f"damaged after {len(frames)} sound frames: ")


def test_complete_file_has_no_damage_even_without_trailer(listing: Path) -> None:
    data = (listing.parent / "gifs" / "texture_001.gif").read_bytes()
    for file in (data, data.removesuffix(b";")):
        decoder = open_gif(file)
        assert len(list(decoder)) == len(decode(data))
        assert decoder.damage is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        gif_start(4, 4),
        gif_start(4, 4) + b";",
        gif_start(0, 0) + b";",
        b"\x89PNG\r\n\x1a\n",
        gif_start(4, 4) + gif_frame(width=4, height=4) + b";",
        gif_start(65_535, 65_535) + gif_frame(),
    ],
    ids=["empty", "signature", "no frame", "trailer", "no pixels", "PNG", "pixels missing", "bomb"],
)
def test_file_without_a_decodable_frame_raises(data: bytes) -> None:
    with pytest.raises(UndecodableError, match=r"\w"):
        list(open_gif(data, 16))


@settings(max_examples=200)
@given(gif_like_bytes(), st.data())
def test_any_bytes_are_decoded_or_raise_undecodable_error(data: bytes, draw: st.DataObject) -> None:
    if draw.draw(st.booleans(), label="small canvas with one valid frame"):
        data = gif_start(4, 4) + gif_frame() + data[13:]
    else:
        data = data[:6] + bytes([9, 0, 9, 0]) + data[10:]
    try:
        frames = list(open_gif(data, 16))
    except UndecodableError:
        return
    assert frames
    assert all(frame.rgb.shape == (16, 16, 3) for frame in frames)
