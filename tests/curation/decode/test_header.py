"""What a GIF says of itself agrees with what a full decode finds; no bytes bring the scanner down."""

import struct
import warnings
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from PIL import Image

from curation.decode.header import GifHeader, is_gif, scan_gif
from tests.strategies import gif_like_bytes

MAX_PIXELS = 2**24
PIXEL = b"\x02\x02\x44\x01\x00"
"""Compressed data of one pixel."""


def gif_start(width: int, height: int, signature: bytes = b"GIF89a") -> bytes:
    """Header, canvas and a palette of black and white."""
    return signature + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"


def gif_frame(left: int = 0, top: int = 0, width: int = 1, height: int = 1, delay_cs: int = 10) -> bytes:
    """One frame, with pixels enough for 1 x 1 only."""
    control = b"!\xf9\x04" + struct.pack("<BHB", 0, delay_cs, 0) + b"\0"
    return control + b"," + struct.pack("<HHHHB", left, top, width, height, 0) + PIXEL


def decode_whole(path: Path) -> tuple[int, int, int] | None:
    """(width, height, frames) by decoding every frame with Pillow; None for a file that it does not take."""
    try:
        with warnings.catch_warnings(), Image.open(path, formats=["GIF"]) as gif:
            warnings.simplefilter("error")
            for number in range(gif.n_frames):
                gif.seek(number)
                gif.load()
            return *gif.size, number + 1
    except Exception:  # Whatever it is, the file is not sound.
        return None


def check_folder(folder: Path) -> int:
    """Hold every sound GIF of a folder to agree; returns how many there are."""
    sound = {path: found for path in sorted(folder.rglob("*.gif")) if (found := decode_whole(path))}
    told = {path: scan_gif(path.read_bytes(), MAX_PIXELS) for path in sound}
    assert {path: (one.width, one.height, one.num_frames) for path, one in told.items()} == sound
    assert all(one.oversize is None for one in told.values())
    return len(sound)


def test_drawn_gifs_agree_with_a_full_decode(listing: Path) -> None:
    assert check_folder(listing.parent) == 13


@pytest.mark.parametrize(("name", "at_least"), [("natural", 60), ("conformance", 110)])
def test_real_gifs_agree_with_a_full_decode(real_gifs: Path, name: str, at_least: int) -> None:
    assert check_folder(real_gifs / name) >= at_least


@settings(max_examples=300)
@given(gif_like_bytes())
@example(gif_start(1, 1) + b",")
@example(gif_start(1, 1) + b"!\xf9\xff")
def test_any_bytes_are_scanned_or_refused_with_a_value_error(data: bytes) -> None:
    try:
        header = scan_gif(data, max_pixels=1000)
    except ValueError:
        assert len(data) < 13
    else:
        assert header.num_frames * 11 <= len(data)


@given(gif_like_bytes())
def test_the_count_ends_before_the_canvas_passes_the_limit(data: bytes) -> None:
    if len(data) >= 13:
        header = scan_gif(data, max_pixels=1000)
        assert header.num_frames == 0 or header.width * header.height <= 1000
        assert header.oversize is None or header.oversize[0] * header.oversize[1] > 1000


def test_a_canvas_grows_to_hold_frames_that_reach_outside() -> None:
    data = gif_start(2, 3) + gif_frame() + gif_frame(left=5, top=1) + b";"
    assert scan_gif(data, MAX_PIXELS) == GifHeader(width=6, height=3, num_frames=2, oversize=None)


def test_a_frame_that_asks_for_too_much_ends_the_count_and_is_told() -> None:
    data = gif_start(2, 2) + gif_frame() + gif_frame(left=60_000, top=60_000) + gif_frame() + b";"
    assert scan_gif(data, MAX_PIXELS) == GifHeader(width=2, height=2, num_frames=1, oversize=(60_001, 60_001))


@pytest.mark.parametrize(
    "between",
    [b"", b"\0", b"\0\0\0junk", b"!\xfe\x05,,,,,\0", b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0", b"!\x01\0"],
    ids=["nothing", "a zero", "stray bytes", "a comment of commas", "a loop", "an empty extension"],
)
def test_what_stands_between_frames_is_no_frame(between: bytes) -> None:
    data = gif_start(1, 1) + between + gif_frame() + between + gif_frame() + b";" + gif_frame()
    assert scan_gif(data, MAX_PIXELS).num_frames == 2


def test_a_header_that_is_cut_short_is_refused() -> None:
    for length in range(13):
        with pytest.raises(ValueError, match="header"):
            scan_gif(gif_start(1, 1)[:length], MAX_PIXELS)
    assert scan_gif(gif_start(7, 8)[:13], MAX_PIXELS) == GifHeader(width=7, height=8, num_frames=0, oversize=None)


@pytest.mark.parametrize(("data", "told"), [(b"GIF87a", True), (b"GIF89a;", True), (b"GIF88a", False), (b"", False)])
def test_a_gif_is_told_by_its_signature(data: bytes, told: bool) -> None:
    assert is_gif(data) is told
