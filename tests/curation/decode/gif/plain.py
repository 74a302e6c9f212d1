"""Plain GIF decoder: the frames that browsers show, without attention to speed. Other decoders are compared with it.

It shares no code with the decoder of the project. The format: GIF89a specification, sections 18 to 27 and appendix F.
"""

import functools
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Frame = tuple[NDArray[np.uint8], int]
"""The canvas on white, RGB, uint8 [H, W, 3], and its duration in ms."""

MAX_CODES = 4096
PASSES = ((0, 8), (4, 8), (2, 4), (1, 2))
"""First row and step of the passes of an interlaced image."""


class Control(NamedTuple):
    """What a graphic control extension says of the next image."""

    disposal: int = 0
    delay_ms: int = 0
    transparent: int = -1


class DamagedError(Exception):
    """The data end early or are invalid."""


def decode(data: bytes, max_pixels: int, max_frames: int | None = None) -> tuple[list[Frame], str | None]:
    """Return the sound frames of a GIF, and the reason if damage ended them early."""
    frames: list[Frame] = []
    try:
        for frame in decode_frames(data, max_pixels):
            frames.append(frame)
            if len(frames) == max_frames:
                break
    except DamagedError as error:
        return frames, str(error)
    return frames, None


def decode_frames(data: bytes, max_pixels: int) -> Iterator[Frame]:
    """Yield the frames of a GIF. Raises DamagedError at the first damaged frame."""
    if data[:6] not in (b"GIF87a", b"GIF89a") or len(data) < 13:
        raise DamagedError("no GIF")
    width, height, flags = struct.unpack("<HHB", data[6:11])
    if not 0 < width * height <= max_pixels:
        raise DamagedError("canvas without pixels, or with too many")
    grey = np.arange(256, dtype=np.uint8)[:, None]
    palette, at = take_palette(data, 13, flags, grey)
    canvas, control = np.full((height, width, 3), 255, np.uint8), Control()
    while at < len(data) and data[at] in (0x21, 0x2C):
        if data[at] == 0x21:
            control = read_control(data, at) or control
            _, at = take_blocks(data, at + 2)
            continue
        left, top, indices, colours, at = take_image(data, at, palette, max_pixels)
        area = canvas[top:, left:][: indices.shape[0], : indices.shape[1]]
        before = area.copy()
        visible = indices[: area.shape[0], : area.shape[1]]
        drawn = visible != control.transparent
        area[drawn] = colours[visible[drawn]]
        yield canvas.copy(), control.delay_ms if control.delay_ms >= 20 else 100
        if control.disposal in (2, 3):
            area[:] = 255 if control.disposal == 2 else before
        control = Control()


def read_control(data: bytes, at: int) -> Control | None:
    """Return the contents of an extension if it is a graphic control extension."""
    if data[at + 1 : at + 3] != b"\xf9\x04" or at + 7 > len(data):
        return None
    flags, delay_cs, index = struct.unpack("<BHB", data[at + 3 : at + 7])
    return Control(flags >> 2 & 7, delay_cs * 10, index if flags & 1 else -1)


def take_image(
    data: bytes, at: int, palette: NDArray[np.uint8], max_pixels: int
) -> tuple[int, int, NDArray[np.uint8], NDArray[np.uint8], int]:
    """Return left, top, colour indices, uint8 [h, w], palette of an image, and the offset of what follows."""
    if at + 10 > len(data):
        raise DamagedError("the file ends in an image descriptor")
    left, top, width, height, flags = struct.unpack("<HHHHB", data[at + 1 : at + 10])
    palette, at = take_palette(data, at + 10, flags, palette)
    if at >= len(data):
        raise DamagedError("the file ends in a palette")
    if width * height > max_pixels:
        raise DamagedError("image with too many pixels")
    packed, after = take_blocks(data, at + 1)
    if not width * height:
        return left, top, np.empty((height, width), np.uint8), palette, after
    if after > len(data) + 1:
        raise DamagedError("the file ends in a sub-block")
    indices = np.frombuffer(decompress(packed, data[at], width * height), np.uint8).reshape(height, width)
    if flags & 0x40:
        order = [y for start, step in PASSES for y in range(start, height, step)]
        indices = indices[np.argsort(order)]
    return left, top, indices, palette, after


def take_palette(data: bytes, at: int, flags: int, default: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """Return a palette, uint8 [256, 3], or the default if there is none, and the offset of what follows."""
    if not flags & 0x80:
        return default, at
    size = 3 * (2 << (flags & 7))
    colours = np.frombuffer(data[at : at + size].ljust(256 * 3, b"\0"), np.uint8)
    return colours.reshape(256, 3), at + size


def take_blocks(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the joined sub-blocks, and the offset of what follows their terminator, whether it is there or not."""
    parts = []
    while at < len(data) and data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(parts), at + 1


@functools.cache
def list_codes(code_size: int) -> list[bytes]:
    """Return the dictionary after a clear code."""
    return [bytes([k & 255]) for k in range(1 << code_size)] + [b"", b""]


def decompress(packed: bytes, code_size: int, num_pixels: int) -> bytes:
    """Return the colour indices of an image. Raises DamagedError if the data do not hold all of them."""
    if not 1 <= code_size <= 11:
        raise DamagedError("invalid code size")
    clear, pixels, bits, num_bits, position = 1 << code_size, bytearray(), 0, 0, 0
    codes, width, previous = list_codes(code_size).copy(), code_size + 1, b""
    while len(pixels) < num_pixels:
        while num_bits < width and position < len(packed):
            bits |= packed[position] << num_bits
            num_bits, position = num_bits + 8, position + 1
        if num_bits < width:
            raise DamagedError("the data end early")
        code = bits & ((1 << width) - 1)
        bits, num_bits = bits >> width, num_bits - width
        if code == clear:
            codes, width, previous = list_codes(code_size).copy(), code_size + 1, b""
            continue
        if code == clear + 1:
            raise DamagedError("early end code")
        if previous and len(codes) < MAX_CODES:
            codes.append(previous + (codes[code] if code < len(codes) else previous)[:1])
            if len(codes) == 1 << width and width < 12:
                width += 1
        if code >= len(codes) or (code > clear and not previous):
            raise DamagedError("invalid code")
        previous = codes[code]
        pixels += previous
    return bytes(pixels[:num_pixels])
