"""GIF bytes -> canvas size and frame count, without decoding a pixel.

Pillow also counts frames, but does not report how far a frame extends beyond the canvas. Such a frame lets a file of
100 bytes allocate gigabytes, so the blocks are parsed here (GIF89a specification, sections 18 to 27).
"""

import dataclasses
import re

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_BLOCK_START = re.compile(rb"[\x21\x2c\x3b]")
_HEADER_BYTES = 13


@dataclasses.dataclass(frozen=True, kw_only=True)
class GifHeader:
    """Canvas and frame count of a GIF, up to the first frame that exceeds the pixel limit."""

    width: int
    """Canvas width, enlarged to contain every counted frame, as decoders do."""
    height: int
    num_frames: int
    """Number of frame headers. A damaged file may have fewer decodable frames."""
    oversize: tuple[int, int] | None
    """The canvas (width, height) required by the first frame that exceeds the pixel limit. Counting stops there."""


def is_gif(data: bytes) -> bool:
    """Return whether the data starts with a GIF signature."""
    return data[:6] in (b"GIF87a", b"GIF89a")


def scan_gif(data: bytes, max_pixels: int) -> GifHeader:
    """Scan the blocks of a GIF up to its end, or up to a frame that enlarges the canvas beyond `max_pixels`.

    Raises ValueError if the canvas size cannot be read.
    """
    if not is_gif(data) or len(data) < _HEADER_BYTES:
        raise ValueError("the file ends inside the header")
    size = (_uint16(data, 6), _uint16(data, 8))
    offset = _HEADER_BYTES + _palette_size(data[10])
    num_frames = 0
    while offset < len(data) and data[offset] != _TRAILER:
        if data[offset] == _EXTENSION:
            offset = _skip_sub_blocks(data, offset + 2)
        elif data[offset] == _IMAGE and offset + 10 < len(data):
            left, top, width, height = (_uint16(data, offset + k) for k in (1, 3, 5, 7))
            enlarged = (max(size[0], left + width), max(size[1], top + height))
            if enlarged[0] * enlarged[1] > max_pixels:
                return GifHeader(width=size[0], height=size[1], num_frames=num_frames, oversize=enlarged)
            size = enlarged
            num_frames += 1
            offset = _skip_sub_blocks(data, offset + 10 + _palette_size(data[offset + 9]) + 1)
        else:
            # Decoders skip stray bytes between blocks.
            start = _BLOCK_START.search(data, offset + 1)
            offset = start.start() if start else len(data)
    return GifHeader(width=size[0], height=size[1], num_frames=num_frames, oversize=None)


def _uint16(data: bytes, offset: int) -> int:
    return data[offset] | data[offset + 1] << 8


def _palette_size(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_sub_blocks(data: bytes, offset: int) -> int:
    end = len(data)
    while offset < end and data[offset]:
        offset += data[offset] + 1
    return offset + 1
