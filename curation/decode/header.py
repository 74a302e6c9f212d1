"""GIF bytes -> size and number of frames, without decoding a pixel.

Pillow tells a GIF's frame count too, but not how far a frame reaches outside the canvas, which is how a file of a
hundred bytes asks for gigabytes; so the blocks are walked here (GIF89a specification, sections 18 to 27).
"""

import dataclasses
import re

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_BLOCK_START = re.compile(rb"[\x21\x2c\x3b]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GifHeader:
    """What a GIF says of itself, as far as it stays inside the limit on pixels."""

    width: int
    """Of the canvas, grown to hold every counted frame, as decoders grow it."""
    height: int
    num_frames: int
    """Frames announced; a damaged file may hold fewer that can be decoded."""
    oversize: tuple[int, int] | None
    """The canvas (width, height) that the next frame asks for, where that passes the limit and the count ends."""


def is_gif(data: bytes) -> bool:
    """Tell by the signature."""
    return data[:6] in (b"GIF87a", b"GIF89a")


def scan_gif(data: bytes, max_pixels: int) -> GifHeader:
    """Walk the blocks of a GIF as far as they go, or up to a frame that makes the canvas larger than `max_pixels`.

    Raises ValueError where there is no canvas to read.
    """
    if not is_gif(data) or len(data) < 13:
        raise ValueError("the file ends inside the header")
    size = (_uint16(data, 6), _uint16(data, 8))
    at = 13 + _palette_size(data[10])
    num_frames = 0
    while at < len(data) and data[at] != _TRAILER:
        if data[at] == _EXTENSION:
            at = _skip_sub_blocks(data, at + 2)
        elif data[at] == _IMAGE and at + 10 < len(data):
            left, top, width, height = (_uint16(data, at + k) for k in (1, 3, 5, 7))
            grown = (max(size[0], left + width), max(size[1], top + height))
            if grown[0] * grown[1] > max_pixels:
                return GifHeader(width=size[0], height=size[1], num_frames=num_frames, oversize=grown)
            size = grown
            num_frames += 1
            at = _skip_sub_blocks(data, at + 10 + _palette_size(data[at + 9]) + 1)
        else:
            # Stray bytes between blocks: decoders pass over them.
            start = _BLOCK_START.search(data, at + 1)
            at = start.start() if start else len(data)
    return GifHeader(width=size[0], height=size[1], num_frames=num_frames, oversize=None)


def _uint16(data: bytes, at: int) -> int:
    return data[at] | data[at + 1] << 8


def _palette_size(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_sub_blocks(data: bytes, at: int) -> int:
    end = len(data)
    while at < end and data[at]:
        at += data[at] + 1
    return at + 1
