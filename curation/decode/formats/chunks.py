"""WebP and APNG bytes -> Header, without decoding a pixel, and without the end of a file that was cut off."""

from curation.decode.formats.header import Header
from curation.file_format import walk_png_chunks

_RIFF_HEADER = 12
_CHUNK_HEADER = 8
_ANMF_HEADER = 16


def scan_webp(data: bytes) -> Header:
    """Count the frames of an animated WebP (RIFF chunks `ANMF`) and read its canvas (`VP8X`)."""
    width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    frames, end = _walk_webp(data)
    announced_end = _CHUNK_HEADER + int.from_bytes(data[4:8], "little")
    damage = "the file is cut off" if end < min(announced_end, len(data)) or announced_end > len(data) else None
    return Header(width=width, height=height, num_frames=len(frames), damage=damage)


def trim_webp(data: bytes) -> bytes:
    """Return a WebP without the frame that the end of the file cuts off: libwebp refuses the whole file otherwise."""
    _, end = _walk_webp(data)
    if end == len(data):
        return data
    return data[:4] + (end - _CHUNK_HEADER).to_bytes(4, "little") + data[8:end]


def _walk_webp(data: bytes) -> tuple[list[int], int]:
    """Return the offsets of the whole frames, and the offset where the last whole chunk ends."""
    stop = min(len(data), _CHUNK_HEADER + int.from_bytes(data[4:8], "little"))
    frames, offset = [], _RIFF_HEADER
    while offset + _CHUNK_HEADER <= stop:
        size = int.from_bytes(data[offset + 4 : offset + 8], "little")
        end = offset + _CHUNK_HEADER + size + (size & 1)
        if end > stop:
            break
        if data[offset : offset + 4] == b"ANMF" and size >= _ANMF_HEADER:
            frames.append(offset)
        offset = end
    return frames, offset


def scan_apng(data: bytes) -> Header:
    """Count the frames of an APNG (chunks `fcTL`), up to the number that it announces, and read its canvas (`IHDR`).

    Raises ValueError if the file has no canvas.
    """
    if data[12:16] != b"IHDR" or len(data) < 24:
        raise ValueError("the file has no IHDR chunk")
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    num_announced, num_held, is_whole = 0, 0, False
    for kind, start, _ in walk_png_chunks(data):
        if kind == b"acTL" and not num_announced:
            num_announced = int.from_bytes(data[start : start + 4], "big")
        num_held += kind == b"fcTL"
        is_whole = is_whole or kind == b"IEND"
    damage = None
    if num_held < num_announced:
        damage = f"{num_announced:,} frames are announced"
    elif not is_whole:
        damage = "the file is cut off"
    return Header(width=width, height=height, num_frames=min(num_held, num_announced), damage=damage)
