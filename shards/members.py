"""Walk the members of a tar: their names, where their bytes are, and the bytes on demand."""

import dataclasses
import tarfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from shards.schema import IMAGE_MIME

BLOCK_BYTES = tarfile.BLOCKSIZE
_END = bytes(2 * BLOCK_BYTES)


class Member:
    """A file in a tar."""

    def __init__(self, tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        self._tar = tar
        self._info = info
        self.name = info.name
        self.offset = info.offset_data
        """Position of its first byte in the tar; its header is the block before."""
        self.size = info.size
        """In bytes."""

    def read(self) -> bytes:
        """Return the bytes, before the walk ends. Raises tarfile.ReadError."""
        file = self._tar.extractfile(self._info)
        data = file.read() if file else b""
        if len(data) != self.size:
            raise tarfile.ReadError(f"{self.name} is cut short")
        return data


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

    Raises tarfile.ReadError for a damaged tar and for a member that is not a regular file. tarfile takes a broken
    header for the end of a tar, so the two blocks of zeros at the end are checked.
    """
    with tarfile.open(fileobj=file, mode="r:") as tar:
        while info := tar.next():
            if not info.isfile():
                raise tarfile.ReadError(f"{info.name!r} is not a regular file")
            yield Member(tar, info)
        file.seek(tar.offset)
        if file.read(len(_END)) != _END:
            raise tarfile.ReadError(f"is cut short, or has a broken header, at byte {tar.offset:,}")


def walk_samples(file: BinaryIO) -> Iterator[SampleMembers]:
    """Yield the samples of a shard: KEY.json, KEY.source.EXT and KEY.target.EXT, adjacent and in this order.

    Raises what `walk_members` raises, and tarfile.ReadError for members in another order.
    """
    members = walk_members(file)
    for record in members:
        key, _, extension = record.name.partition(".")
        if extension != "json":
            raise tarfile.ReadError(f"{record.name} is where the .json of a sample was expected")
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
