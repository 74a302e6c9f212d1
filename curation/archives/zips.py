"""List the members of a zip, and read one by its index in the central directory."""

import functools
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator

from curation.archives.entry import Entry, find_name_problem
from curation.archives.errors import ArchiveError, MemberError, MemberTooLargeError
from curation.archives.location import Member, find_stamp
from shards.errors import StoreError, describe_error
from shards.storage.location import Location

_ENCRYPTED = 1
"""Bit of a member's flags."""
_BUFFER_BYTES = 2**16
_DAMAGE = (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, struct.error, zlib.error)
"""What zipfile raises for a zip that is damaged or uses what it does not support."""


def list_zip(archive: Location) -> Iterator[Entry]:
    """Yield the members of a zip that are not folders. Raises ArchiveError."""
    try:
        infos = _open(archive).infolist()
    except _DAMAGE as error:
        raise ArchiveError(f"{archive} is not a zip, or is cut short: {error}") from error
    except (OSError, StoreError) as error:
        raise ArchiveError(f"cannot read {archive}: {describe_error(error)}") from error
    for index, info in enumerate(infos):
        if not info.filename.endswith("/"):
            problem = "it is encrypted" if info.flag_bits & _ENCRYPTED else find_name_problem(info.filename)
            name = info.filename.encode("utf-8", "backslashreplace").decode()
            yield Entry(name, f"{index}:{info.file_size}", info.file_size, problem)


def read_from_zip(member: Member, max_bytes: int) -> bytes:
    """Return a member's bytes after a check of their CRC. Raises MemberError."""
    if member.second > max_bytes:
        raise MemberTooLargeError(member.second, max_bytes)
    try:
        zip_file = _open(member.archive)
        with zip_file.open(zip_file.infolist()[member.first]) as file:
            data = file.read(member.second + 1)
    except (*_DAMAGE, IndexError) as error:
        raise MemberError(f"{member} is damaged: {error}") from error
    except (OSError, StoreError) as error:
        raise MemberError(f"cannot read {member.archive}: {describe_error(error)}") from error
    if len(data) != member.second:
        raise MemberError(f"{member} is damaged: it does not have the size that the directory says")
    return data


def _open(archive: Location) -> zipfile.ZipFile:
    """Open a zip, or return it as it was opened before, since its directory is long."""
    return _open_once(archive, find_stamp(archive), os.getpid())


@functools.lru_cache(maxsize=2)
def _open_once(archive: Location, _stamp: tuple[int, int] | None, _process: int) -> zipfile.ZipFile:
    # Not closed: threads may still read from it when another zip takes its place.
    return zipfile.ZipFile(archive.open("rb", buffering=_BUFFER_BYTES))
