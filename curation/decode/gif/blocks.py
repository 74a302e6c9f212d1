"""GIF bytes -> screen and frame headers, without decoding a pixel (GIF89a specification, sections 18 to 27).

The limits on size are checked here: a file of 100 bytes can ask for gigabytes.
"""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

_EXTENSION, _IMAGE = 0x21, 0x2C
_GRAPHIC_CONTROL = 0xF9
_HEADER_BYTES = 13
MIN_DELAY_MS = 20
"""A shorter delay is replaced by DEFAULT_DELAY_MS, as browsers do."""
DEFAULT_DELAY_MS = 100
KEEP, CLEAR, RESTORE = 1, 2, 3
"""Disposal methods. All others keep the frame."""


class FrameHeader(NamedTuple):
    """Header of one frame."""

    left: int
    top: int
    width: int
    height: int
    interlaced: bool
    palette: tuple[int, int]
    """Offset and number of colours of the frame's palette; offset 0 for none."""
    disposal: int
    duration_ms: int
    transparent: int | None
    """The palette index that is not drawn."""
    data: int
    """Offset of the minimum code size, which the sub-blocks follow. A truncated file may end before it."""


_TRUNCATED = FrameHeader(0, 0, 0, 0, False, (0, 0), KEEP, DEFAULT_DELAY_MS, None, 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Screen:
    """The logical screen."""

    width: int
    height: int
    palette: tuple[int, int]
    """As in FrameHeader."""
    end: int
    """Offset of the first block."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GifHeader:
    """Canvas and frame count of a GIF, up to the first frame that exceeds the pixel limit."""

    width: int
    height: int
    num_frames: int
    """Number of frame headers. A damaged file may have fewer decodable frames."""
    oversize: tuple[int, int] | None
    """The (width, height) of the canvas or of the first frame that exceeds the pixel limit. Counting stops there."""


def is_gif(data: bytes) -> bool:
    """Return whether the data starts with a GIF signature."""
    return data[:6] in (b"GIF87a", b"GIF89a")


def read_screen(data: bytes) -> Screen:
    """Read the logical screen. Raises ValueError if the data are no GIF, or end before the first block."""
    if not is_gif(data) or len(data) < _HEADER_BYTES:
        raise ValueError("the file ends inside the header")
    palette, end = _find_palette(data[10], _HEADER_BYTES)
    return Screen(width=_uint16(data, 6), height=_uint16(data, 8), palette=palette, end=end)


def walk_frames(data: bytes, screen: Screen) -> Iterator[FrameHeader]:
    """Yield the header of each frame up to the trailer, the end of the file or a byte that starts no block.

    Browsers end the clip at such a byte as if it were the trailer.
    """
    offset, end = screen.end, len(data)
    disposal, delay_ms, transparent = 0, 0, None
    while offset < end:
        if data[offset] == _EXTENSION:
            # Only the last graphic control extension before a frame counts.
            if offset + 6 < end and data[offset + 1] == _GRAPHIC_CONTROL and data[offset + 2] == 4:
                flags = data[offset + 3]
                disposal, delay_ms = flags >> 2 & 7, _uint16(data, offset + 4) * 10
                transparent = data[offset + 6] if flags & 1 else None
            offset = _skip_sub_blocks(data, offset + 2)
            continue
        if data[offset] != _IMAGE:
            return
        if offset + 10 > end:
            yield _TRUNCATED._replace(data=end)
            return
        flags = data[offset + 9]
        palette, start = _find_palette(flags, offset + 10)
        yield FrameHeader(
            left=_uint16(data, offset + 1),
            top=_uint16(data, offset + 3),
            width=_uint16(data, offset + 5),
            height=_uint16(data, offset + 7),
            interlaced=bool(flags & 0x40),
            palette=palette if palette[1] else screen.palette,
            disposal=disposal,
            duration_ms=delay_ms if delay_ms >= MIN_DELAY_MS else DEFAULT_DELAY_MS,
            transparent=transparent,
            data=start,
        )
        disposal, delay_ms, transparent = 0, 0, None
        offset = _skip_sub_blocks(data, start + 1)


def scan_gif(data: bytes, max_pixels: int) -> GifHeader:
    """Count the frames of a GIF up to one of more than `max_pixels`. Raises ValueError as `read_screen` does."""
    screen = read_screen(data)
    num_frames, oversize = 0, None
    if screen.width * screen.height > max_pixels:
        oversize = screen.width, screen.height
    else:
        for frame in walk_frames(data, screen):
            if frame.width * frame.height > max_pixels:
                oversize = frame.width, frame.height
                break
            num_frames += 1
    return GifHeader(width=screen.width, height=screen.height, num_frames=num_frames, oversize=oversize)


def _uint16(data: bytes, offset: int) -> int:
    return data[offset] | data[offset + 1] << 8


def _find_palette(flags: int, offset: int) -> tuple[tuple[int, int], int]:
    """Return a palette at `offset`, (0, 0) if the flags announce none, and the offset of what follows."""
    if not flags & 0x80:
        return (0, 0), offset
    num_colours = 2 << (flags & 7)
    return (offset, num_colours), offset + 3 * num_colours


def _skip_sub_blocks(data: bytes, offset: int) -> int:
    end = len(data)
    while offset < end and data[offset]:
        offset += data[offset] + 1
    return offset + 1
