"""Draw random GIFs that use the whole format: code sizes, disposal methods, palettes, LZW codes chosen one by one."""

import dataclasses
import random
import struct
from collections.abc import Callable

MAX_CODES = 4096
MAX_PIXELS = 8192
"""Most pixels of a drawn frame: enough to fill a dictionary of any code size."""


@dataclasses.dataclass(frozen=True)
class DrawnGif:
    """A sound GIF, and where its parts are."""

    data: bytes
    sub_blocks: tuple[int, ...]
    """Offsets of the length bytes of the sub-blocks with LZW data."""


@dataclasses.dataclass(frozen=True)
class Style:
    """Probabilities of the kinds of code; the rest are literals."""

    clear: float
    repeat: float
    """The code of the entry that the decoder adds next: it repeats the previous one and its first byte."""
    entry: float


STYLES = (
    Style(0, 0, 0),
    Style(0.3, 0.3, 0.3),
    Style(0.01, 0.8, 0.1),
    Style(0.01, 0.1, 0.8),
    Style(0, 0.01, 0.2),
    Style(0, 0.97, 0.02),
)


def draw_gif(rng: random.Random) -> DrawnGif:
    """Draw a GIF."""
    width, height = draw_size(rng)
    flags = (0x80 if rng.random() < 0.85 else 0) | rng.choice((0, 0x70)) | draw_depth(rng)
    data = bytearray(rng.choice((b"GIF89a", b"GIF87a")) + struct.pack("<HHB", width, height, flags))
    data += rng.randbytes(2) + draw_palette(rng, flags)
    sub_blocks: list[int] = []
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4, 6))):
        for _ in range(rng.choice((0, 1, 1, 1, 2, 4))):
            data += draw_extension(rng)
        add_frame(rng, data, sub_blocks, width, height)
    data += rng.choice((b";", b";", b";", b";junk", b"", b"\0;", b"!\xfe\0;"))
    return DrawnGif(bytes(data), tuple(sub_blocks))


def draw_size(rng: random.Random) -> tuple[int, int]:
    kind = rng.random()
    if kind < 0.03:
        return rng.choice(((rng.randint(41, 400), 1), (1, rng.randint(41, 400))))
    limit = 8 if kind < 0.7 else 18 if kind < 0.97 else 40
    return rng.randint(1, limit), rng.randint(1, limit)


def draw_depth(rng: random.Random) -> int:
    return rng.choice((0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7))


def draw_palette(rng: random.Random, flags: int) -> bytes:
    return rng.randbytes(3 * (2 << (flags & 7))) if flags & 0x80 else b""


def draw_extension(rng: random.Random) -> bytes:
    kind = rng.random()
    if kind < 0.75:
        flags = rng.randrange(8) << 2 | rng.choice((0, 0, 1, 2)) | rng.choice((0, 0, 0x60))
        delay_cs = rng.choice((0, 1, 2, 3, 10, 500, 65535))
        body = struct.pack("<BHB", flags, delay_cs, rng.choice((0, 1, 2, 3, 7, 255)))
        return b"!\xf9\x04" + body + (b"\0" if kind < 0.7 else b"\x02ab\0")
    if kind < 0.8:  # One of another size does not count.
        length = rng.choice((0, 1, 3, 5))
        return b"!\xf9" + bytes([length]) + rng.randbytes(length) + (b"\0" if length else b"")
    label = rng.choice((0xFE, 0xFF, 0x01, rng.randrange(256)))
    body = rng.choice((b"", b",;!", b"NETSCAPE2.0\1\0\0", rng.randbytes(9)))
    return bytes([0x21, label]) + split(body, choose_lengths(rng))[0]


def add_frame(rng: random.Random, data: bytearray, sub_blocks: list[int], width: int, height: int) -> None:
    left, top, columns, rows = draw_rectangle(rng, width, height)
    flags = rng.choice((0, 0, 0x40)) | rng.choice((0, 0, 0x80)) | rng.choice((0, 0x20)) | draw_depth(rng)
    data += b"," + struct.pack("<HHHHB", left, top, columns, rows, flags) + draw_palette(rng, flags)
    code_size = rng.choice((1, 2, 2, 2, 3, 4, 5, 6, 7, 8, 8, 8, 9, 10, 11))
    packed = pack(draw_codes(rng, code_size, columns * rows)) + rng.choice((b"", b"", b"", rng.randbytes(3)))
    blocks, lengths = split(packed, choose_lengths(rng))
    data.append(code_size)
    sub_blocks += [len(data) + offset for offset in lengths]
    data += blocks


def draw_rectangle(rng: random.Random, width: int, height: int) -> tuple[int, int, int, int]:
    kind = rng.random()
    if kind < 0.45:
        return 0, 0, width, height
    if kind < 0.7:
        left, top = rng.randrange(width), rng.randrange(height)
        return left, top, rng.randint(1, width - left), rng.randint(1, height - top)
    if kind < 0.9:  # Beyond the canvas, in part or as a whole.
        columns, rows = rng.randint(1, width + 3), rng.randint(1, height + 3)
        return rng.randrange(width + 3), rng.randrange(height + 3), columns, rows
    if kind < 0.95:
        return rng.choice((0, 65535)), rng.choice((0, 65535)), rng.randint(0, 3), rng.choice((0, 0, 1))
    # The larger ones fill a dictionary.
    return 0, 0, *((rng.randint(80, 128), 64) if kind < 0.96 else (rng.randint(1, 40), rng.randint(1, 40)))


def draw_codes(rng: random.Random, code_size: int, num_pixels: int) -> list[tuple[int, int]]:
    """Choose valid codes for that many pixels or a few more; return (code, width) of each."""
    clear = 1 << code_size
    style, end_when_full = rng.choice(STYLES), rng.random() < 0.3
    codes: list[tuple[int, int]] = []
    num_codes, width, previous, total = clear + 2, code_size + 1, 0, 0
    lengths = [1] * num_codes
    if rng.random() < 0.8:
        codes += [(clear, width)] * rng.choice((1, 1, 1, 2))
    while total < num_pixels:
        kind = rng.random()
        if kind < style.clear or (end_when_full and num_codes == MAX_CODES):
            codes.append((clear, width))
            num_codes, width, previous = clear + 2, code_size + 1, 0
            del lengths[num_codes:]
            continue
        code, length = int(rng.random() * clear), 1
        if previous:
            kind -= style.clear
            num_reachable = min(num_codes, 1 << width)
            if kind < style.repeat and num_codes < 1 << width:
                code, length = num_codes, previous + 1
            elif kind < style.repeat + style.entry and num_reachable > clear + 2:
                code = rng.choice((rng.randrange(clear + 2, num_reachable), num_reachable - 1))
                length = lengths[code]
        codes.append((code, width))
        if previous and num_codes < MAX_CODES:
            lengths.append(previous + 1)
            num_codes += 1
            if num_codes == 1 << width and width < 12:
                width += 1
        previous = length
        total += length
    if rng.random() < 0.8:
        codes.append((clear + 1, width))
    return codes


def pack(codes: list[tuple[int, int]]) -> bytes:
    """Pack codes, the lowest bits first."""
    packed, bits, num_bits = bytearray(), 0, 0
    for code, width in codes:
        bits |= code << num_bits
        num_bits += width
        while num_bits >= 8:
            packed.append(bits & 255)
            bits, num_bits = bits >> 8, num_bits - 8
    return bytes(packed) + (bytes([bits]) if num_bits else b"")


def split(packed: bytes, choose_length: Callable[[], int] = lambda: 255) -> tuple[bytes, list[int]]:
    """Split data into sub-blocks with a terminator; return them and the offsets of their length bytes."""
    blocks, offsets, at = bytearray(), [], 0
    while at < len(packed):
        part = packed[at : at + choose_length()]
        offsets.append(len(blocks))
        blocks += bytes([len(part)]) + part
        at += len(part)
    return bytes(blocks) + b"\0", offsets


def choose_lengths(rng: random.Random) -> Callable[[], int]:
    """Choose how the lengths of sub-blocks are drawn."""
    shortest, longest = rng.choice(((255, 255), (1, 255), (1, 60), (1, 1)))
    return lambda: rng.randint(shortest, longest)
