"""List the members of a tar, and read one by its offset."""

import contextlib
import tarfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from curation.archives.entry import Entry, find_name_problem
from curation.archives.errors import ArchiveError, MemberError, MemberTooLargeError
from curation.archives.location import Member
from shards.errors import StoreError, describe_error
from shards.storage.location import Location

_MAX_HEADER_BYTES = 2**20
"""Of an extended header. A tar may announce one of gigabytes, which would be read into memory."""
_MAX_NAME_CHARS = 4096
_BUFFER_BYTES = 2**16
"""Of a tar in a store: one request covers a caption and the headers around it."""
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstandard"}


class _BoundedReads:
    """A file whose single reads are bounded."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, num_bytes: int) -> bytes:
        """Read up to `num_bytes`. Raises tarfile.ReadError if that is more than a header may have."""
        if num_bytes > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"has a header of {num_bytes:,} bytes")
        return self._file.read(num_bytes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextlib.contextmanager
def open_tar(archive: Location) -> Iterator[BinaryIO]:
    """Open a tar to list it. Raises ArchiveError, also for the errors of the block that are the tar's."""
    try:
        with archive.open("rb", buffering=_BUFFER_BYTES) as file:
            yield file
    except (tarfile.TarError, EOFError) as error:
        raise ArchiveError(f"{archive} {error}; copy it again") from error
    except (OSError, StoreError) as error:
        raise ArchiveError(f"cannot read {archive}: {describe_error(error)}") from error


def list_tar(file: BinaryIO) -> Iterator[Entry]:
    """Yield the members of a tar that are not folders. The block may read other parts of the file between two of them.

    Raises tarfile.TarError for a tar that is compressed, damaged or cut short.
    """
    start = file.read(6)
    file.seek(0)
    for signature, name in _COMPRESSED.items():
        if start.startswith(signature):
            raise tarfile.ReadError(f"is compressed by {name}, and its members cannot be read in any order; expand it")
    tar = tarfile.open(fileobj=_BoundedReads(file), mode="r:")  # noqa: SIM115
    while (info := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined] # It would keep every header.
        if not info.isdir():
            yield _describe(info)
    # tarfile takes a broken header for the end.
    file.seek(tar.offset)
    if (end := file.read(tarfile.BLOCKSIZE)) != bytes(tarfile.BLOCKSIZE):
        fault = "has a broken header" if len(end) == tarfile.BLOCKSIZE else "is cut short"
        raise tarfile.ReadError(f"{fault} at byte {tar.offset:,}")


def _describe(info: tarfile.TarInfo) -> Entry:
    if len(info.name) > _MAX_NAME_CHARS:
        raise tarfile.ReadError(f"has a member with a name of {len(info.name):,} characters")
    problem = find_name_problem(info.name)
    if info.issym() or info.islnk():
        problem = "it is a link; only regular files are read"
    elif not info.isreg() or info.issparse():
        problem = "it is not a regular file"
    # A name that is not UTF-8 has surrogates (PEP 383), which no table holds.
    name = info.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return Entry(name, f"{info.offset_data}:{info.size}", info.size, problem)


def read_text(file: BinaryIO, entry: Entry) -> bytes:
    """Return the bytes of a small member of an open tar."""
    file.seek(int(entry.place.partition(":")[0]))
    return file.read(entry.num_bytes)


def read_from_tar(member: Member, max_bytes: int) -> bytes:
    """Return a member's bytes. Raises MemberError."""
    if member.second > max_bytes:
        raise MemberTooLargeError(member.second, max_bytes)
    try:
        with member.archive.open("rb") as file:
            file.seek(member.first)
            data = bytes(file.read(member.second))
    except (OSError, StoreError) as error:
        raise MemberError(f"cannot read {member.archive}: {describe_error(error)}") from error
    if len(data) != member.second:
        raise MemberError(f"{member.archive} is cut short")
    return data
