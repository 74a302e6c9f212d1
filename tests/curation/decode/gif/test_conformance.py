"""Frames, durations and damage agree with the plain decoder, a conformance suite and Pillow."""

import configparser
import io
import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from curation.config import SOURCE_SIZE
from curation.decode.decoder import FrameDecoder, UndecodableError
from examples.draw_gifs import DrawnGif, draw_frames
from tests.curation.decode.gif import generate, plain
from tests.curation.decode.gif.guards import guarded_arrays
from tests.curation.decode.helpers import gif_start

MAX_PIXELS = 2**24
WITHOUT_FRAME = {
    *("no-data", "max-size", "zero-width", "zero-height", "zero-size"),
    *("invalid-code", "overflow-codes", "overflow-codes-max", "image-zero-height", "image-zero-size"),
}
"""Their only frame is damaged, or there is none. The last two announce a palette that they do not hold."""
BROWSERS_SHOW = {"invalid-colors", "plain-text"}
"""The suite expects no frame. Browsers show a colour outside the palette as black, and ignore text."""
PILLOW_DIFFERS = ["gifliberry_wheeee.gif"]
"""Its first frame does not cover the canvas: white in browsers, the background colour in Pillow."""


def decode(data: bytes, max_frames: int | None = None) -> tuple[list[plain.Frame], str | None]:
    decoder = FrameDecoder(data, SOURCE_SIZE, max_pixels=MAX_PIXELS)
    try:
        frames = [(frame.rgb, frame.duration_ms) for frame in itertools.islice(decoder, max_frames)]
    except UndecodableError as error:
        return [], str(error)
    return frames, decoder.damage


def assert_decodes_as_plain(data: bytes, max_frames: int | None = None) -> int:
    """Compare with the plain decoder; return the number of frames."""
    frames, damage = decode(data, max_frames)
    expected, expected_damage = plain.decode(data, MAX_PIXELS, max_frames)
    assert [duration_ms for _, duration_ms in frames] == [duration_ms for _, duration_ms in expected]
    assert all(np.array_equal(rgb, expected[k][0]) for k, (rgb, _) in enumerate(frames))
    if frames:
        assert (damage is None) == (expected_damage is None), f"{damage}; expected {expected_damage}"
    return len(frames)


def decode_with_pillow(path: Path | io.BytesIO) -> list[plain.Frame]:
    frames = []
    with Image.open(path) as gif:
        for page in ImageSequence.Iterator(gif):
            picture = page.convert("RGBA")
            white = Image.new("RGB", picture.size, (255, 255, 255))
            white.paste(picture, mask=picture.getchannel("A"))
            delay_ms = page.info.get("duration", 0)
            frames.append((np.asarray(white), delay_ms if delay_ms >= 20 else 100))
    return frames


def read_expected_frames(path: Path) -> tuple[Path, list[tuple[NDArray[np.uint8], int]]]:
    """Return the GIF of a case, and its expected frames on white, uint8 [H * W, 3], with their delays in ms."""
    case = configparser.ConfigParser(interpolation=None)
    case.read(path, encoding="utf-8")
    frames = []
    for name in case["config"]["frames"].split(","):
        if name.strip():
            rgba = np.frombuffer((path.parent / case[name]["pixels"]).read_bytes(), np.uint8).reshape(-1, 4)
            rgb = np.where(rgba[:, 3:] > 0, rgba[:, :3], np.uint8(255))
            frames.append((rgb, int(case[name].get("delay", "0")) * 10))
    return path.parent / case["config"]["input"], frames


@pytest.mark.parametrize(
    "folder", ["giflib", "image-gif", "mozilla", "pillow", "pygif", "../broken"], ids=lambda folder: folder.strip("./")
)
def test_real_gifs_decode_as_with_the_plain_decoder(real_gifs: Path, folder: str) -> None:
    num_frames = [
        assert_decodes_as_plain(path.read_bytes()) for path in (real_gifs / "conformance" / folder).glob("*.gif")
    ]
    assert sum(num_frames) > 5


def test_frames_of_photos_decode_as_with_the_plain_decoder(real_gifs: Path) -> None:
    for path in sorted((real_gifs / "natural").glob("*.gif"))[::16]:
        assert assert_decodes_as_plain(path.read_bytes(), max_frames=3) >= 2


def test_every_frame_of_photos_decodes_as_with_pillow(real_gifs: Path) -> None:
    different = []
    for path in sorted((real_gifs / "natural").glob("*.gif")):
        frames, damage = decode(path.read_bytes())
        assert damage is None
        pairs = itertools.zip_longest(frames, decode_with_pillow(path), fillvalue=(None, None))
        if not all(np.array_equal(a, b) and a_ms == b_ms for (a, a_ms), (b, b_ms) in pairs):
            different.append(path.name)
    assert different == PILLOW_DIFFERS


def test_conformance_cases_show_the_expected_pictures(real_gifs: Path) -> None:
    """A case describes the canvas when a delay starts. Browsers show every image, those without delay for 100 ms."""
    num_cases = 0
    for path in sorted((real_gifs / "conformance" / "pygif").glob("*.conf")):
        gif, expected = read_expected_frames(path)
        frames, damage = decode(gif.read_bytes())
        if path.stem in WITHOUT_FRAME:
            assert not frames
            continue
        assert damage is None
        if path.stem in BROWSERS_SHOW:
            assert not expected
            assert len(frames) == 1
            continue
        if len(frames) != len(expected):
            *earlier, last = frames
            frames = [frame for frame in earlier if len(expected) > 1 and frame[1] != 100] + [last]
        assert len(frames) == len(expected), path.stem
        for (rgb, duration_ms), (colours, delay_ms) in zip(frames, expected, strict=True):
            assert np.array_equal(rgb.reshape(-1, 3), colours), path.stem
            assert duration_ms == (delay_ms or 100), path.stem
        num_cases += 1
    assert num_cases == 84 - len(WITHOUT_FRAME) - len(BROWSERS_SHOW)


def write_with_pillow(disposal: int, *, transparent: bool) -> io.BytesIO:
    """Write a GIF of five frames with local palettes, each stored as the rectangle that changes."""
    pages = []
    for k, frame in enumerate(draw_frames(DrawnGif(name="", caption="", width=48, height=37, num_frames=5))):
        page = frame.convert("RGBA")
        if transparent and k:
            page.paste((0, 0, 0, 0), (8 * k, 0, 8 * k + 9, 30))
        pages.append(page)
    file = io.BytesIO()
    kwargs = {"disposal": disposal, "duration": [10, 20, 30, 400, 0], "loop": 0}
    pages[0].save(file, "GIF", save_all=True, append_images=pages[1:], **kwargs)
    return file


@pytest.mark.parametrize("transparent", [False, True], ids=["opaque", "transparent"])
@pytest.mark.parametrize("disposal", [0, 1, 2, 3])
def test_drawn_gifs_decode_as_with_the_plain_decoder(disposal: int, transparent: bool) -> None:
    assert assert_decodes_as_plain(write_with_pillow(disposal, transparent=transparent).getvalue()) == 5


@pytest.mark.parametrize(("disposal", "transparent"), [(0, False), (0, True), (1, False), (1, True), (2, False)])
def test_drawn_gifs_decode_as_with_pillow(disposal: int, transparent: bool) -> None:
    file = write_with_pillow(disposal, transparent=transparent)
    frames, damage = decode(file.getvalue())
    assert damage is None
    for (rgb, duration_ms), (other, other_ms) in zip(frames, decode_with_pillow(file), strict=True):
        assert np.array_equal(rgb, other)
        assert duration_ms == other_ms


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("height", [1, 2, 3, 5, 8, 37])
def test_interlaced_pictures_decode_as_with_pillow(interlace: int, height: int) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, 31), dtype=np.uint8))
    file = io.BytesIO()
    picture.save(file, "GIF", interlace=interlace)
    ((rgb, _),), _ = decode(file.getvalue())
    assert np.array_equal(rgb[:, :, 0], np.asarray(picture))


@pytest.mark.parametrize("code_size", range(1, 12))
def test_full_dictionary_is_kept_until_the_next_clear_code(code_size: int) -> None:
    rng = np.random.default_rng(code_size)
    literals, width, num_codes = rng.integers(0, 1 << code_size, 5000), code_size + 1, (1 << code_size) + 2
    codes = []
    for number, literal in enumerate(literals):
        codes.append((int(literal), width))
        if number:
            num_codes += 1
            width += num_codes == 1 << width and width < 12
    data = gif_start(100, 50) + b"," + struct.pack("<HHHHB", 0, 0, 100, 50, 0) + bytes([code_size])
    data += generate.split(generate.pack(codes))[0]
    ((rgb, _),), _ = decode(data)
    assert np.array_equal(rgb[:, :, 0].reshape(-1), np.where(literals & 255 == 1, 255, 0))
    assert_decodes_as_plain(data)


@pytest.mark.parametrize(
    ("width", "height", "damage"),
    [(1000, 7382, None), (960, 7686, None), (1000, 7383, "frame 0: the pixels end early")],
    ids=["397 pixels fewer", "3,837 pixels fewer", "more pixels"],
)
def test_longest_dictionary_entries(width: int, height: int, damage: str | None) -> None:
    """In a picture of one colour each code repeats the one before and one pixel more, up to 3,839 pixels."""
    codes, code_width = [(1, 9)], 9
    for number in range(258, 4096):
        codes.append((number, code_width))
        code_width += number + 1 == 1 << code_width and code_width < 12
    codes += [(4095, 12)] * 3
    data = gif_start(10, 10) + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x08"
    with guarded_arrays():
        frames, found = decode(data + generate.split(generate.pack(codes))[0])
    assert found == damage
    assert all((rgb == 255).all() for rgb, _ in frames)
