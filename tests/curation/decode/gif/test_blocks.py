"""The header scan agrees with a full decode, and accepts any bytes."""

import warnings
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from PIL import Image

from curation.decode.gif.blocks import GifHeader, is_gif, scan_gif
from tests.curation.decode.helpers import gif_frame, gif_start
from tests.strategies import gif_like_bytes

MAX_PIXELS = 2**24


def decode_whole(path: Path) -> tuple[int, int, int] | None:
    """Return (width, height, frames) by decoding every frame with Pillow; None if that fails."""
    try:
        with warnings.catch_warnings(), Image.open(path, formats=["GIF"]) as gif:
            warnings.simplefilter("error")
            for number in range(gif.n_frames):
                gif.seek(number)
                gif.load()
            return *gif.size, number + 1
    except Exception:  # Any error means that the file is damaged.
        return None


def check_folder(folder: Path) -> int:
    """Check the scan of every GIF in a folder that Pillow can decode; return their number."""
    decoded = {path: sizes for path in sorted(folder.rglob("*.gif")) if (sizes := decode_whole(path))}
    headers = {path: scan_gif(path.read_bytes(), MAX_PIXELS) for path in decoded}
    assert {path: (header.width, header.height, header.num_frames) for path, header in headers.items()} == decoded
    assert all(header.oversize is None for header in headers.values())
    return len(decoded)


def test_scan_of_drawn_gifs_agrees_with_a_full_decode(listing: Path) -> None:
    assert check_folder(listing.parent) == 13


def test_scan_of_real_gifs_agrees_with_a_full_decode(real_gifs: Path) -> None:
    assert check_folder(real_gifs / "natural") >= 60


@settings(max_examples=300)
@given(gif_like_bytes())
@example(gif_start(1, 1) + b",")
@example(gif_start(1, 1) + b"!\xf9\xff")
def test_any_bytes_are_scanned_or_raise_value_error(data: bytes) -> None:
    try:
        header = scan_gif(data, max_pixels=1000)
    except ValueError:
        assert len(data) < 13
    else:
        assert header.num_frames <= len(data)


@given(gif_like_bytes())
def test_scan_stops_before_the_canvas_exceeds_the_limit(data: bytes) -> None:
    if len(data) >= 13:
        header = scan_gif(data, max_pixels=1000)
        assert header.num_frames == 0 or header.width * header.height <= 1000
        assert header.oversize is None or header.oversize[0] * header.oversize[1] > 1000


def test_frame_outside_the_canvas_does_not_enlarge_it() -> None:
    data = gif_start(2, 3) + gif_frame() + gif_frame(left=5, top=1) + b";"
    assert scan_gif(data, MAX_PIXELS) == GifHeader(width=2, height=3, num_frames=2, oversize=None)


def test_scan_stops_at_an_oversize_frame_and_reports_its_size() -> None:
    data = gif_start(2, 2) + gif_frame() + gif_frame(width=60_000, height=60_000) + gif_frame() + b";"
    assert scan_gif(data, MAX_PIXELS) == GifHeader(width=2, height=2, num_frames=1, oversize=(60_000, 60_000))


@pytest.mark.parametrize(
    "between",
    [b"", b"!\xfe\x05,,,,,\0", b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0", b"!\x01\0"],
    ids=["nothing", "a comment of commas", "a loop", "an empty extension"],
)
def test_blocks_between_frames_are_not_counted(between: bytes) -> None:
    data = gif_start(1, 1) + between + gif_frame() + between + gif_frame() + b";" + gif_frame()
    assert scan_gif(data, MAX_PIXELS).num_frames == 2


@pytest.mark.parametrize("stray", [b"\0", b"junk"])
def test_byte_that_starts_no_block_ends_the_clip(stray: bytes) -> None:
    data = gif_start(1, 1) + gif_frame() * 2 + stray + gif_frame() + b";"
    assert scan_gif(data, MAX_PIXELS).num_frames == 2


def test_truncated_header_raises_value_error() -> None:
    for length in range(13):
        with pytest.raises(ValueError, match="header"):
            scan_gif(gif_start(1, 1)[:length], MAX_PIXELS)
    assert scan_gif(gif_start(7, 8)[:13], MAX_PIXELS) == GifHeader(width=7, height=8, num_frames=0, oversize=None)


@pytest.mark.parametrize(
    ("data", "expected"), [(b"GIF87a", True), (b"GIF89a;", True), (b"GIF88a", False), (b"", False)]
)
def test_is_gif_checks_the_signature(data: bytes, expected: bool) -> None:
    assert is_gif(data) is expected
