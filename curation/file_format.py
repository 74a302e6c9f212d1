"""Bytes -> the format of an animation, or a description of what else they are. File names play no part."""

from collections.abc import Iterator
from enum import StrEnum


class FileFormat(StrEnum):
    """Formats of animations, as in the column `format` of clips.parquet."""

    GIF = "gif"
    WEBP = "webp"
    APNG = "apng"
    AVIF = "avif"
    MP4 = "mp4"
    WEBM = "webm"
    MOV = "mov"

    @property
    def is_video(self) -> bool:
        """Whether frames are sampled by time, and PyAV decodes them."""
        return self in (FileFormat.MP4, FileFormat.WEBM, FileFormat.MOV)


PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEAD_BYTES = 2**20
"""Bytes from the start of a file that are enough to recognise its format."""
_ANIMATION_FLAG = 0x02
_EBML = b"\x1a\x45\xdf\xa3"
_MAX_EBML_HEADER = 256
_QUICKTIME_ATOMS = (b"moov", b"mdat", b"wide", b"pnot")
"""First atoms of old QuickTime files, which have no `ftyp`."""
_STILL_BRANDS = {b"avif": "an AVIF picture", b"heic": "a HEIC picture", b"mif1": "a HEIF picture"}
_SIGNATURES = (
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"%PDF", "a PDF document"),
    (_EBML, "a Matroska file"),
    (b"OggS", "an Ogg file"),
    (b"ID3", "an MP3 file"),
)


def detect_format(data: bytes) -> FileFormat | None:
    """Return the format of an animation; None for a still picture and for anything else.

    A GIF, a WebP, a PNG or an AVIF is an animation if it says so, also if it then has one frame.
    """
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return FileFormat.GIF
    if _is_webp(data):
        return FileFormat.WEBP if data[12:16] == b"VP8X" and data[20:21] and data[20] & _ANIMATION_FLAG else None
    if data.startswith(PNG_SIGNATURE):
        return FileFormat.APNG if _announces_animation(data) else None
    if data.startswith(_EBML):
        return FileFormat.WEBM if b"webm" in data[:_MAX_EBML_HEADER] else None
    return _detect_iso_media(data)


def describe_bytes(data: bytes) -> str:
    """Describe data that are no animation by their file type, as far as it is recognised."""
    if not data:
        return "an empty file"
    for signature, description in _SIGNATURES:
        if data.startswith(signature):
            return description
    if _is_webp(data):
        return "a WebP picture"
    for brand in _list_brands(data):
        if brand in _STILL_BRANDS:
            return _STILL_BRANDS[brand]
    start = data[:200].decode("utf-8", "replace").strip()
    if start.lower().startswith(("<!doctype html", "<html")):
        return f"an HTML page: {start[:80]!r}"
    if start.startswith(("<?xml", "<Error")):
        return f"an XML document: {start[:80]!r}"
    return f"neither a GIF nor anything known; it starts with {data[:16]!r}"


def walk_png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each chunk of a PNG, with the offsets where its data start and end, which may be missing."""
    offset = len(PNG_SIGNATURE)
    while offset + 8 <= len(data):
        size = int.from_bytes(data[offset : offset + 4], "big")
        yield data[offset + 4 : offset + 8], offset + 8, offset + 8 + size
        offset += 12 + size


def _is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def _announces_animation(data: bytes) -> bool:
    """Return whether a PNG has an `acTL` chunk, which must be before its first `IDAT`."""
    for kind, _, _ in walk_png_chunks(data):
        if kind in (b"acTL", b"IDAT"):
            return kind == b"acTL"
    return False


def _detect_iso_media(data: bytes) -> FileFormat | None:
    if data[4:8] in _QUICKTIME_ATOMS:
        return FileFormat.MOV
    brands = _list_brands(data)
    if not brands:
        return None
    if b"avis" in brands:
        return FileFormat.AVIF
    if brands[0] in _STILL_BRANDS:
        return None
    return FileFormat.MOV if brands[0] == b"qt  " else FileFormat.MP4


def _list_brands(data: bytes) -> list[bytes]:
    """List the major brand and the compatible brands of an ISO media file; empty for any other file."""
    if data[4:8] != b"ftyp":
        return []
    box = data[: int.from_bytes(data[:4], "big")]
    return [box[8:12], *(box[offset : offset + 4] for offset in range(16, len(box) - 3, 4))]
