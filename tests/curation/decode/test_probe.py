"""Before anything is decoded: what the bytes are, how large they announce themselves, and a verdict at once."""

import hashlib
from pathlib import Path

import pytest

from curation.config import SOURCE_SIZE, CurationConfig
from curation.decode.header import GifHeader
from curation.decode.probe import ProbedClip, ProbeTask, check_header, describe_bytes, probe_clips
from curation.flow.measure import measure_clip
from curation.listing.clips import Clip
from shards.schema import Verdict
from tests.curation.decode.test_header import PIXEL, gif_frame, gif_start


def make_clip(location: object, key: str = "clip") -> Clip:
    """A clip that lies somewhere."""
    return Clip(key=key, uri=str(location), location=str(location), captions=("a",), split="train", row=1)


def probe(*clips: Clip, **config: int) -> list[ProbedClip]:
    """Look at some clips."""
    return probe_clips(ProbeTask(clips=clips, config=CurationConfig(**config)))


def probe_bytes(folder: Path, data: bytes, **config: int) -> ProbedClip:
    """Look at one file."""
    (folder / "a.gif").write_bytes(data)
    (found,) = probe(make_clip(folder / "a.gif"), **config)
    return found


@pytest.mark.parametrize(
    ("data", "words"),
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
        (b"\0\0\0\x18ftypmp42", "an MP4 video"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP picture"),
        (b"GIF88a", r"neither a GIF nor anything known; it starts with b'GIF88a'"),
    ],
)
def test_what_is_no_gif_is_told_in_words(tmp_path: Path, data: bytes, words: str) -> None:
    found = probe_bytes(tmp_path, data)
    assert found.verdict is Verdict.NOT_A_GIF
    assert found.detail is not None
    assert found.detail.startswith(words)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert (found.width, found.num_frames, found.num_pairs) == (None, None, 0)
    assert describe_bytes(data) == found.detail


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
            gif_start(1, 1) + gif_frame() + gif_frame(left=65_000, height=65_000) + gif_frame(),
            Verdict.TOO_LARGE,
            "65001 x 65000 pixels, more than the limit of 16,777,216",
        ),
        (gif_start(1, 1) + gif_frame() * 1001, Verdict.TOO_LARGE, "1,001 frames, more than the limit of 1,000"),
    ],
    ids=["signature", "header", "no frame", "no pixels", "canvas bomb", "bomb in frame 1", "many frames"],
)
def test_a_gif_that_cannot_be_used_gets_its_verdict_before_it_is_decoded(
    tmp_path: Path, data: bytes, verdict: Verdict, detail: str
) -> None:
    found = probe_bytes(tmp_path, data)
    assert (found.verdict, found.detail) == (verdict, detail)


def test_a_sound_gif_is_measured_up_to_the_limits_and_its_work_is_known(tmp_path: Path) -> None:
    found = probe_bytes(tmp_path, gif_start(3, 2) + gif_frame() * 4, max_frames=4, max_pixels=6)
    assert (found.verdict, found.detail) == (None, None)
    assert (found.width, found.height, found.num_frames, found.num_pairs) == (3, 2, 4, 6)
    assert found.path == str(tmp_path / "a.gif")


def test_a_bomb_after_two_sound_frames_is_damage_and_the_frames_are_measured(tmp_path: Path) -> None:
    white = gif_frame()[:-5] + PIXEL.replace(b"\x44", b"\x4c")
    bomb = gif_frame(left=65_000, top=65_000)
    found = probe_bytes(tmp_path, gif_start(1, 1) + gif_frame() + white + bomb + gif_frame())
    assert (found.verdict, found.num_frames) == (None, 2)
    assert found.detail == "frame 2 asks for 65001 x 65001 pixels, more than the limit of 16,777,216"
    measurement, rows = measure_clip(found, CurationConfig())
    assert rows is not None
    assert (measurement.verdict, measurement.num_frames, rows.num_rows) == (None, 2, 1)
    assert measurement.detail == f"damaged after 2 sound frames: {found.detail}"


def test_more_bytes_than_the_limit_are_too_large(tmp_path: Path) -> None:
    data = gif_start(1, 1) + gif_frame() * 2
    assert probe_bytes(tmp_path, data, max_bytes=len(data)).verdict is None
    found = probe_bytes(tmp_path, data, max_bytes=len(data) - 1)
    assert (found.verdict, found.sha256) == (Verdict.TOO_LARGE, None)


def test_more_grey_frames_than_fit_into_memory_are_too_large() -> None:
    header = GifHeader(width=4000, height=4000, num_frames=300, oversize=None)
    assert check_header(header, CurationConfig()) == (None, None)
    verdict, detail = check_header(header, CurationConfig(resolution=SOURCE_SIZE))
    assert (verdict, detail) == (Verdict.TOO_LARGE, "4.5 GiB of grey frames, more than the limit of 4 GiB")


def test_a_missing_file_is_a_failed_fetch_and_the_others_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(gif_start(1, 1) + gif_frame() * 2)
    clips = [make_clip(tmp_path / name, key=name[0]) for name in ("gone.gif", "a.gif", "b.gif")]
    found = probe(*clips)
    assert [one.clip_key for one in found] == ["g", "a", "b"]
    assert [one.verdict for one in found] == [Verdict.FETCH_FAILED, None, Verdict.FETCH_FAILED]
    assert found[0].detail == f"there is no file {tmp_path / 'gone.gif'}"
