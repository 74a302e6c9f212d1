"""Probing gives a clip's SHA-256, size and frame count, or a verdict, before decoding."""

import hashlib
import time
from pathlib import Path

import pytest

from curation.config import SOURCE_SIZE, CurationConfig
from curation.decode.formats.header import Header
from curation.decode.probe import check_header
from curation.file_format import describe_bytes
from curation.flow.measure import measure_clip
from shards.schema import Verdict
from tests.curation.decode.helpers import PIXEL, WHITE_PIXEL, gif_frame, gif_start, make_clip, probe, probe_bytes


@pytest.mark.parametrize(
    ("data", "description"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>404</html>", "an HTML page: '<!DOCTYPE html>"),
        (b"\n <HTML><body>gone", "an HTML page"),
        (b"<?xml version='1.0'?><Error/>", "an XML document"),
        (b"<Error><Code>AccessDenied</Code>", "an XML document"),
        (b"\xff\xd8\xff\xe0", "a JPEG picture"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"\x1f\x8b\x08", "gzip-compressed data"),
        (b"%PDF-1.7", "a PDF document"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP picture"),
        (b"GIF88a", r"neither a GIF nor anything known; it starts with b'GIF88a'"),
    ],
)
def test_file_that_is_not_a_gif_is_described(tmp_path: Path, data: bytes, description: str) -> None:
    probed = probe_bytes(tmp_path, data)
    assert probed.verdict is Verdict.NOT_A_GIF
    assert probed.detail is not None
    assert probed.detail.startswith(description)
    assert probed.sha256 == hashlib.sha256(data).hexdigest()
    assert (probed.width, probed.num_frames, probed.num_pairs) == (None, None, 0)
    assert describe_bytes(data) == probed.detail


@pytest.mark.parametrize(
    ("data", "verdict", "detail"),
    [
        (b"GIF89a", Verdict.UNDECODABLE, "the file ends inside the header"),
        (gif_start(4, 4), Verdict.UNDECODABLE, "the file holds no frame"),
        (gif_start(4, 4) + b";", Verdict.UNDECODABLE, "the file holds no frame"),
        (gif_start(0, 4) + gif_frame(width=0) + b";", Verdict.UNDECODABLE, "the canvas has no pixels"),
        (
            gif_start(65_535, 65_535) + gif_frame() * 2,
            Verdict.TOO_LARGE,
            "65535 x 65535 pixels, more than the limit of 16,777,216",
        ),
        (
            gif_start(1, 1) + gif_frame() + gif_frame(width=65_000, height=65_000) + gif_frame(),
            Verdict.TOO_LARGE,
            "65000 x 65000 pixels, more than the limit of 16,777,216",
        ),
        (gif_start(1, 1) + gif_frame() * 1001, Verdict.TOO_LARGE, "1,001 frames, more than the limit of 1,000"),
    ],
    ids=["signature", "header", "no frame", "no pixels", "canvas bomb", "bomb in frame 1", "many frames"],
)
def test_unusable_gif_gets_its_verdict_before_decoding(
    tmp_path: Path, data: bytes, verdict: Verdict, detail: str
) -> None:
    probed = probe_bytes(tmp_path, data)
    assert (probed.verdict, probed.detail) == (verdict, detail)


def test_gif_at_the_limits_is_accepted_with_its_number_of_pairs(tmp_path: Path) -> None:
    probed = probe_bytes(tmp_path, gif_start(3, 2) + gif_frame() * 4, max_frames=4, max_pixels=6)
    assert (probed.verdict, probed.detail) == (None, None)
    assert (probed.width, probed.height, probed.num_frames, probed.num_pairs) == (3, 2, 4, 6)
    assert probed.path == str(tmp_path / "a.gif")


def test_oversize_frame_after_two_valid_ones_is_damage(tmp_path: Path) -> None:
    white = gif_frame().replace(PIXEL, WHITE_PIXEL)
    bomb = gif_frame(width=65_000, height=65_000)
    probed = probe_bytes(tmp_path, gif_start(1, 1) + gif_frame() + white + bomb + gif_frame())
    assert (probed.verdict, probed.num_frames) == (None, 2)
    assert probed.detail == "frame 2 asks for 65000 x 65000 pixels, more than the limit of 16,777,216"
    measurement, rows = measure_clip(probed, CurationConfig())
    assert rows is not None
    assert (measurement.verdict, measurement.num_frames, rows.num_rows) == (None, 2, 1)
    assert measurement.detail == f"damaged after 2 sound frames: {probed.detail}"


def test_file_over_the_byte_limit_is_too_large(tmp_path: Path) -> None:
    data = gif_start(1, 1) + gif_frame() * 2
    assert probe_bytes(tmp_path, data, max_bytes=len(data)).verdict is None
    probed = probe_bytes(tmp_path, data, max_bytes=len(data) - 1)
    assert (probed.verdict, probed.sha256) == (Verdict.TOO_LARGE, None)


def test_more_grey_frames_than_the_memory_limit_are_too_large() -> None:
    header = Header(width=4000, height=4000, num_frames=300)
    assert check_header(header, CurationConfig()) == (None, None)
    verdict, detail = check_header(header, CurationConfig(resolution=SOURCE_SIZE))
    assert (verdict, detail) == (Verdict.TOO_LARGE, "4.5 GiB of grey frames, more than the limit of 4 GiB")


def test_missing_file_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(gif_start(1, 1) + gif_frame() * 2)
    clips = [make_clip(tmp_path / name, key=name[0]) for name in ("gone.gif", "a.gif", "b.gif")]
    probed = probe(*clips)
    assert [clip.clip_key for clip in probed] == ["g", "a", "b"]
    assert [clip.verdict for clip in probed] == [Verdict.FETCH_FAILED, None, Verdict.FETCH_FAILED]
    assert probed[0].detail == f"there is no file {tmp_path / 'gone.gif'}"


@pytest.mark.parametrize(
    "comment",
    [b"\xff" + b"x" * 255, b"\x01x", b"\0!\xfe\x01x", b"\0!\xf9\x04\0\x0a\0\0"],
    ids=["long sub-blocks", "sub-blocks of one byte", "many comments", "many delays"],
)
def test_bytes_between_frames_take_linear_time(tmp_path: Path, comment: bytes) -> None:
    filler = b"!\xfe" + comment * (5_000_000 // len(comment)) + b"\0"
    started_s = time.process_time()
    data = gif_start(4, 4) + gif_frame() + filler + gif_frame() + b";"
    assert probe_bytes(tmp_path, data).num_frames == 2
    # A walk that starts again at each block takes hours.
    assert time.process_time() - started_s < 10
