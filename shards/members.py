"""Walk the members of a tar: their names, where their bytes are, and the bytes on demand.

The walk accepts what the writer writes: regular files of bounded size with short names, one header each. A general tar
reader also follows extended headers, and a sparse member of a few bytes expands to gigabytes.
"""

import dataclasses
import re
import tarfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from shards.schema import IMAGE_MIME, MAX_RECORD_BYTES

BLOCK_BYTES = tarfile.BLOCKSIZE
MAX_MEMBER_BYTES = 2**28
"""More than a picture of 85 megapixels takes without compression."""
_END = bytes(2 * BLOCK_BYTES)
_NO_PREFIX = bytes(155)
_NAME = re.compile(rb"([A-Za-z0-9_-][A-Za-z0-9_.-]*)\0*")
_OCTAL = re.compile(rb"([0-7]+)[\0 ]*")
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)
_FIXED = (
    (slice(100, 124), b"0000644\x000000000\x000000000\0"),  # Mode, user, group.
    (slice(136, 148), b"00000000000\0"),  # Modification time.
    (slice(156, 297), b"0" + bytes(100) + b"ustar\x0000root".ljust(40, b"\0")),  # Type, link, magic, user name.
    (slice(297, 329), b"root".ljust(32, b"\0")),  # Group name.
    (slice(345, 512), bytes(167)),  # Prefix of the name, padding.
)
"""What the writer writes to every header. Device numbers are left out: they depend on the version of Python."""


class Member:
    """A regular file in a tar."""

    def __init__(self, file: BinaryIO, header: bytes, offset: int) -> None:
        """Parse the header that is before `offset`. Raises tarfile.ReadError."""
        checksum, size = _parse_octal(header[148:156]), _parse_octal(header[124:136])
        # The sum counts the bytes of the checksum as spaces.
        if checksum is None or checksum != sum(header) - sum(header[148:156]) + 8 * ord(" "):
            raise tarfile.ReadError(f"is cut short, or has a broken header, at byte {offset - BLOCK_BYTES:,}")
        shown = header[:100].rstrip(b"\0")
        if header[156:157] not in _REGULAR:
            raise tarfile.ReadError(f"{shown!r} is not a regular file")
        name = _NAME.fullmatch(header[:100])
        if name is None or header[345:500] != _NO_PREFIX:
            raise tarfile.ReadError(f"{shown!r} is not the name of a sample's file")
        self.name = name[1].decode("ascii")
        if size is None or size > MAX_MEMBER_BYTES:
            raise tarfile.ReadError(f"{self.name} is larger than {MAX_MEMBER_BYTES:,} bytes")
        self.offset = offset
        """Position of its first byte in the tar; its header is the block before."""
        self.size = size
        """In bytes."""
        self._file = file
        self._header = header

    @property
    def end(self) -> int:
        """Position of the next header: members fill whole blocks."""
        return self.offset + -(-self.size // BLOCK_BYTES) * BLOCK_BYTES

    @property
    def has_fixed_fields(self) -> bool:
        """Whether owner, mode, time and type are those that the writer writes."""
        return all(self._header[place] == value for place, value in _FIXED)

    def read(self) -> bytes:
        """Return the bytes, before the walk ends. Raises tarfile.ReadError."""
        self._file.seek(self.offset)
        data = self._file.read(self.size)
        if len(data) != self.size:
            raise tarfile.ReadError(f"{self.name} is cut short")
        return data


def _parse_octal(field: bytes) -> int | None:
    number = _OCTAL.fullmatch(field)
    return int(number[1], 8) if number else None


@dataclasses.dataclass(frozen=True, slots=True)
class SampleMembers:
    """The three adjacent members of a sample."""

    key: str
    image_format: str
    """Extension of both pictures: jpg, png or webp."""
    record: Member
    source: Member
    target: Member


def walk_members(file: BinaryIO) -> Iterator[Member]:
    """Yield the members of a tar, open for reading and seekable, in order.

    Raises tarfile.ReadError for a damaged tar and for a member that is not a regular file of a sample.
    """
    offset = 0
    while header := _read_header(file, offset):
        member = Member(file, header, offset + BLOCK_BYTES)
        yield member
        offset = member.end


def _read_header(file: BinaryIO, offset: int) -> bytes | None:
    """Return the header at an offset; None at the two blocks of zeros that end a tar. Raises tarfile.ReadError."""
    file.seek(offset)
    header = file.read(BLOCK_BYTES)
    if len(header) == BLOCK_BYTES and header != _END[:BLOCK_BYTES]:
        return header
    file.seek(offset)
    if file.read(len(_END)) != _END:
        raise tarfile.ReadError(f"is cut short, or has a broken header, at byte {offset:,}")
    return None


def walk_samples(file: BinaryIO) -> Iterator[SampleMembers]:
    """Yield the samples of a shard: KEY.json, KEY.source.EXT and KEY.target.EXT, adjacent and in this order.

    Raises what `walk_members` raises, and tarfile.ReadError for members in another order.
    """
    members = walk_members(file)
    for record in members:
        key, _, extension = record.name.partition(".")
        if extension != "json":
            raise tarfile.ReadError(f"{record.name} is where the .json of a sample was expected")
        if record.size > MAX_RECORD_BYTES:
            raise tarfile.ReadError(f"{record.name} is larger than {MAX_RECORD_BYTES:,} bytes")
        source = _next_picture(members, key, "source", IMAGE_MIME)
        image_format = source.name.rpartition(".")[2]
        target = _next_picture(members, key, "target", (image_format,))
        yield SampleMembers(key, image_format, record, source, target)


def _next_picture(members: Iterator[Member], key: str, role: str, image_formats: Iterable[str]) -> Member:
    member = next(members, None)
    if member is None:
        raise tarfile.ReadError(f"ends before the {role} picture of {key}")
    if member.name not in {f"{key}.{role}.{image_format}" for image_format in image_formats}:
        raise tarfile.ReadError(f"{member.name} is where the {role} picture of {key} was expected")
    return member
