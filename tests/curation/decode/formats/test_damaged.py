"""Bad files get a verdict before they are decoded, or keep their sound leading frames; none ends a run."""

import io
from pathlib import Path

import pytest

from curation.config import CurationConfig
from curation.decode.probe import ProbedClip
from curation.flow.measure import measure_clip
from examples.draw_formats import FORMATS, PICTURES, encode
from shards.schema import Verdict
from tests.curation.decode.formats import fuzz
from tests.curation.decode.formats.helpers import (
    EIGHT_HOURS_MS,
    draw_numbered,
    draw_scene,
    encode_audio,
    encode_plain,
    encode_without_frames,
    patch,
    put_moov_first,
)
from tests.curation.decode.helpers import probe_bytes

BIG = 60_000


def test_mp4_without_moov_is_undecodable(tmp_path: Path) -> None:
    data = encode_plain(6)
    probed = probe_bytes(tmp_path, data[: data.find(b"moov") - 4])
    assert probed.verdict is Verdict.UNDECODABLE
    assert probed.detail == "the moov box, which lists the frames, is missing"
    assert probed.format == "mp4"


def test_audio_alone_is_undecodable(tmp_path: Path) -> None:
    probed = probe_bytes(tmp_path, encode_audio())
    assert (probed.verdict, probed.detail) == (Verdict.UNDECODABLE, "the file has audio alone")


def test_video_without_a_frame_is_undecodable(tmp_path: Path) -> None:
    probed = probe_bytes(tmp_path, encode_without_frames())
    assert (probed.verdict, probed.detail) == (Verdict.UNDECODABLE, "the file holds no frame")


@pytest.mark.parametrize("name", ["mp4", "webm"])
def test_eight_hours_are_too_long_and_the_detail_names_the_options(tmp_path: Path, name: str) -> None:
    data = encode(draw_numbered(3), name, durations_ms=[100, EIGHT_HOURS_MS, 100], bf="0")
    probed = probe_bytes(tmp_path, data)
    assert probed.verdict is Verdict.TOO_LARGE
    assert probed.detail is not None
    assert probed.detail.startswith("288,00")
    assert probed.detail.endswith("frames at 10 a second, more than the limit of 1,000; --fps 0.034 would take it")
    assert probe_bytes(tmp_path, data, fps=0.034).verdict is None


def test_longer_video_than_the_limit_names_both_options(tmp_path: Path) -> None:
    data = encode_plain(40)
    probed = probe_bytes(tmp_path, data, max_frames=30)
    limit = "40 frames at 10 a second, more than the limit of 30"
    assert probed.detail == f"{limit}; --max-frames 40 or --fps 7.5 would take it"
    assert probe_bytes(tmp_path, data, max_frames=40).num_frames == 40
    assert probe_bytes(tmp_path, data, max_frames=30, fps=7.5).num_frames == 30


def test_lying_duration_is_not_believed(tmp_path: Path) -> None:
    data = encode_plain(12)
    for box, offset in ((b"mvhd", 16), (b"tkhd", 20), (b"mdhd", 16)):
        data = patch(data, box, offset, EIGHT_HOURS_MS.to_bytes(4, "big"))
    probed = probe_bytes(tmp_path, data)
    assert (probed.verdict, probed.num_frames) == (None, 12)


def test_canvas_bomb_is_too_large_before_it_is_decoded(tmp_path: Path) -> None:
    bombs = {
        "webp": patch(encode_plain(3, "webp"), b"VP8X", 8, (BIG - 1).to_bytes(3, "little") * 2),
        "apng": patch(encode_plain(3, "apng"), b"IHDR", 0, BIG.to_bytes(4, "big") * 2),
    }
    for name, data in bombs.items():
        probed = probe_bytes(tmp_path, data)
        assert (probed.verdict, probed.format) == (Verdict.TOO_LARGE, name)
        assert probed.detail == "60000 x 60000 pixels, more than the limit of 16,777,216"


@pytest.mark.parametrize("side", [8_000, BIG])
def test_avif_bomb_gets_a_verdict(tmp_path: Path, side: int) -> None:
    data = encode_plain(3, "avif")
    data = patch(data, b"ispe", 4, side.to_bytes(4, "big") * 2)
    data = patch(
        data, b"tkhd", 92 if data[data.find(b"tkhd") + 4] else 80, (side << 16 & 0xFFFFFFFF).to_bytes(4, "big") * 2
    )
    data = patch(data, b"av01\0\0\0\0\0\0\0\1", 16, min(side, 65_535).to_bytes(2, "big") * 2)
    probed = probe_bytes(tmp_path, data)
    assert probed.verdict in (Verdict.TOO_LARGE, Verdict.UNDECODABLE)
    assert probed.detail


@pytest.mark.parametrize("name", FORMATS)
def test_canvas_over_the_limit_is_too_large(tmp_path: Path, name: str) -> None:
    probed = probe_bytes(tmp_path, encode_plain(3, name), max_pixels=3000)
    assert (probed.verdict, probed.format) == (Verdict.TOO_LARGE, name)
    assert probed.detail == "64 x 48 pixels, more than the limit of 3,000"


@pytest.mark.parametrize("name", PICTURES)
def test_more_frames_than_the_limit_are_too_large(tmp_path: Path, name: str) -> None:
    probed = probe_bytes(tmp_path, encode_plain(5, name), max_frames=4)
    assert (probed.verdict, probed.detail) == (Verdict.TOO_LARGE, "5 frames, more than the limit of 4")


@pytest.mark.parametrize(
    ("name", "what"), [("webp", "a WebP picture"), ("png", "a PNG picture"), ("avif", "an AVIF picture")]
)
def test_still_picture_is_no_animation(tmp_path: Path, name: str, what: str) -> None:
    file = io.BytesIO()
    draw_numbered(1)[0].save(file, name)
    probed = probe_bytes(tmp_path, file.getvalue())
    assert (probed.verdict, probed.detail, probed.format) == (Verdict.NOT_A_GIF, what, None)


@pytest.mark.parametrize("name", ["mp4", "webm", "mov"])
def test_video_of_one_frame_is_still(tmp_path: Path, name: str) -> None:
    probed = probe_bytes(tmp_path, encode_plain(1, name))
    assert measured(probed) == (Verdict.STILL, 1, "one frame")


def measured(probed: ProbedClip) -> tuple[Verdict | None, int, str | None]:
    """Measure a clip; return its verdict, the number of frames and the detail."""
    assert probed.verdict is None
    measurement, _ = measure_clip(probed, CurationConfig(resolution=32))
    return measurement.verdict, measurement.num_frames, measurement.detail


@pytest.mark.parametrize("name", ["webp", "apng", "mp4", "webm"])
def test_cut_off_animation_keeps_its_sound_frames(tmp_path: Path, name: str) -> None:
    data = encode(draw_scene(), name, bf="0")
    data = put_moov_first(data) if name == "mp4" else data
    verdict, num_frames, detail = measured(probe_bytes(tmp_path, data[: len(data) * 9 // 10]))
    assert verdict is None
    assert 2 <= num_frames < 12
    if name != "webm":  # A WebM does not say how many frames it holds: a shorter one is sound.
        assert detail is not None
        assert detail.startswith(f"damaged after {num_frames} sound frames: ")


def test_apng_with_a_broken_chunk_ends_before_it(tmp_path: Path) -> None:
    data = bytearray(encode(draw_scene(), "apng"))
    headers = [at for at in range(len(data)) if data[at : at + 4] == b"fcTL"]
    data[data.find(b"fdAT", headers[5]) + 30] ^= 0xFF
    verdict, num_frames, detail = measured(probe_bytes(tmp_path, bytes(data)))
    assert (verdict, num_frames) == (None, 5)
    assert detail is not None
    assert "damaged after 5 sound frames: " in detail


def test_apng_that_announces_more_frames_than_it_holds_keeps_those(tmp_path: Path) -> None:
    data = patch(encode_plain(4, "apng"), b"acTL", 0, (9).to_bytes(4, "big"))
    probed = probe_bytes(tmp_path, data)
    assert probed.num_frames == 4


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "gif"])
def test_header_alone_is_undecodable(tmp_path: Path, name: str) -> None:
    for length in (36, 48):
        probed = probe_bytes(tmp_path, encode_plain(3, name)[:length])
        assert probed.verdict in (Verdict.UNDECODABLE, Verdict.NOT_A_GIF), length
        assert probed.detail


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "gif"])
def test_mutations_break_nothing(name: str) -> None:
    ends, broken = fuzz.run(name, num_mutations=30, seed=3)
    assert broken == [], ends
    assert ends.total() == 30
