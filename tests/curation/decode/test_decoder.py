"""Frames are what a browser would show, composited on white; a damaged file keeps its sound leading frames."""

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
from tests.curation.decode.test_header import gif_frame, gif_start
from tests.strategies import gif_like_bytes

WHITE, RED, BLUE = (255, 255, 255), (255, 0, 0), (0, 0, 255)


def decode(data: bytes, resolution: int = SOURCE_SIZE) -> NDArray[np.uint8]:
    """All frames, uint8 [T, H, W, 3]."""
    return np.stack([np.asarray(frame.rgb) for frame in FrameDecoder(data, resolution)])


def decode_plainly(path: Path) -> NDArray[np.uint8]:
    """The reference: each frame pasted on a white page, resized to 256 x 256."""
    frames = []
    with Image.open(path) as gif:
        for page in ImageSequence.Iterator(gif):
            picture = page.convert("RGBA")
            white = Image.new("RGB", picture.size, WHITE)
            white.paste(picture, mask=picture.getchannel("A"))
            frames.append(np.asarray(white.resize((256, 256), Image.Resampling.LANCZOS)))
    return np.stack(frames)


def boxes_gif(*boxes: tuple[int, int, int, int], disposal: int = 1, delay_ms: int = 100) -> bytes:
    """A GIF of 4 x 4 on a transparent page: each frame has one box of red, and later ones of blue."""
    frames = []
    for number, box in enumerate(boxes):
        frame = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
        frame.paste((*(BLUE if number else RED), 255), box)
        frames.append(frame)
    file = io.BytesIO()
    kwargs = {"disposal": disposal, "duration": delay_ms, "loop": 0, "optimize": False}
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], **kwargs)
    return file.getvalue()


def test_drawn_gifs_agree_with_a_plain_reference_to_the_pixel(listing: Path) -> None:
    for path in sorted((listing.parent / "gifs").glob("texture_00[0-2].gif")):
        assert np.array_equal(decode(path.read_bytes(), 256), decode_plainly(path))


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
def test_real_gifs_agree_with_a_plain_reference_to_the_pixel(real_gifs: Path, name: str) -> None:
    assert np.array_equal(decode((real_gifs / name).read_bytes(), 256), decode_plainly(real_gifs / name))


def test_transparent_pixels_show_white_and_partial_frames_stand_on_what_was_there() -> None:
    data = boxes_gif((0, 0, 2, 2), (2, 2, 3, 4))
    with Image.open(io.BytesIO(data)) as gif:
        gif.seek(1)
        assert gif.tile[0][1] != (0, 0, 4, 4)  # The file holds only part of the second frame.
    first, second = decode(data)
    assert (first[:2, :2] == RED).all()
    assert (first[2:] == WHITE).all()
    assert (first[:, 2:] == WHITE).all()
    assert (second[:2, :2] == RED).all()
    assert (second[2:, 2] == BLUE).all()
    assert (second[2:, 3] == WHITE).all()


def test_disposal_to_the_background_clears_to_white() -> None:
    _, second = decode(boxes_gif((0, 0, 2, 2), (2, 2, 4, 4), disposal=2))
    assert (second[:2, :2] == WHITE).all()
    assert (second[2:, 2:] == BLUE).all()


@pytest.mark.parametrize(("delay_ms", "shown_ms"), [(0, 100), (10, 100), (20, 20), (30, 30), (1000, 1000)])
def test_delays_under_20_ms_are_shown_for_100_as_browsers_do(delay_ms: int, shown_ms: int) -> None:
    data = gif_start(1, 1) + gif_frame(delay_cs=delay_ms // 10) * 3 + b";"
    assert [frame.duration_ms for frame in FrameDecoder(data, SOURCE_SIZE)] == [shown_ms] * 3


def test_a_frame_without_a_delay_does_not_inherit_the_one_before() -> None:
    data = gif_start(1, 1) + gif_frame(delay_cs=50) + gif_frame()[8:] + b";"
    assert [frame.duration_ms for frame in FrameDecoder(data, SOURCE_SIZE)] == [500, 100]


def test_a_frame_starts_when_those_before_it_have_been_shown() -> None:
    starts = compute_start_times_ms([100, 20, 3000])
    assert starts.dtype == np.int32
    assert starts.tolist() == [0, 100, 120]
    assert compute_start_times_ms([50]).tolist() == [0]


@pytest.mark.parametrize("resolution", [SOURCE_SIZE, 64])
def test_wanted_frames_are_those_of_a_full_decode_and_decoding_ends_after_the_last(
    listing: Path, resolution: int
) -> None:
    data = (listing.parent / "gifs" / "texture_003.gif").read_bytes()
    everything = decode(data, resolution)
    some = list(FrameDecoder(data, resolution, frozenset({2, 5})))
    assert [frame.index for frame in some] == list(range(6))
    assert [frame.index for frame in some if frame.rgb is not None] == [2, 5]
    assert all(np.array_equal(np.asarray(some[k].rgb), everything[k]) for k in (2, 5))


def test_a_truncated_file_keeps_its_sound_leading_frames_and_says_so(listing: Path) -> None:
    data = (listing.parent / "gifs" / "texture_001.gif").read_bytes()
    whole = decode(data)
    decoder = FrameDecoder(data[: len(data) // 2], SOURCE_SIZE)
    frames = [np.asarray(frame.rgb) for frame in decoder]
    assert 2 <= len(frames) < len(whole)
    assert np.array_equal(np.stack(frames), whole[: len(frames)])
    assert decoder.damage
    assert decoder.damage.startswith(f"damaged after {len(frames)} sound frames: ")


def test_a_whole_file_has_no_damage_with_or_without_its_trailer(listing: Path) -> None:
    data = (listing.parent / "gifs" / "texture_001.gif").read_bytes()
    for complete in (data, data.removesuffix(b";")):
        decoder = FrameDecoder(complete, SOURCE_SIZE)
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
    ids=["empty", "signature", "no frame", "trailer", "no pixels", "PNG", "pixels missing", "a bomb"],
)
def test_a_file_without_one_sound_frame_raises(data: bytes) -> None:
    with pytest.raises(UndecodableError, match=r"\w"):
        list(FrameDecoder(data, 16))


@settings(max_examples=200)
@given(gif_like_bytes(), st.data())
def test_any_bytes_are_decoded_or_undecodable(data: bytes, draw: st.DataObject) -> None:
    if draw.draw(st.booleans(), label="on a small canvas with one sound frame"):
        data = gif_start(4, 4) + gif_frame() + data[13:]
    else:
        data = data[:6] + bytes([9, 0, 9, 0]) + data[10:]
    try:
        frames = list(FrameDecoder(data, 16))
    except UndecodableError:
        return
    assert frames
    assert all(frame.rgb is not None and frame.rgb.shape == (16, 16, 3) for frame in frames)
