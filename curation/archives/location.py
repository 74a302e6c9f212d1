"""Location of a member as one string, `member:KIND:FIRST:SECOND:COLUMN:ARCHIVE`.

========  ======================  ==================  ===========================
KIND      FIRST                   SECOND              COLUMN
========  ======================  ==================  ===========================
tar       offset of its bytes     their number
zip       index in the directory  number of bytes
parquet   row group               row in the group    the column, percent-encoded
========  ======================  ==================  ===========================

`unreadable:REASON` is the location of a clip whose bytes cannot be found.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from shards.storage.location import Location, ObjectPath

TAR, ZIP, PARQUET, FOLDER = "tar", "zip", "parquet", "folder"
_MEMBER = re.compile(r"member:(tar|zip|parquet):(\d{1,19}):(\d{1,19}):([^:]*):(.+)", re.DOTALL)
_UNREADABLE = "unreadable:"
_PROBLEM = "!"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """The parsed location of a member."""

    kind: str
    first: int
    second: int
    column: str
    archive: Location

    def __str__(self) -> str:
        """Describe the member for a person."""
        if self.kind == PARQUET:
            return f"row {self.second} of row group {self.first} of {self.archive}"
        if self.kind == ZIP:
            return f"member {self.first} of {self.archive}"
        return f"the member at byte {self.first:,} of {self.archive}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Archive:
    """An archive, or a folder, that holds the bytes of clips."""

    kind: str
    location: str
    column: str = ""
    """Of a Parquet file: the leaf column that holds the bytes, such as `image.bytes`."""

    def locate(self, place: str) -> str:
        """Return the location of a member: `place` is `FIRST:SECOND`, or a path below the folder."""
        if self.kind == FOLDER:
            return f"{self.location}/{place}"
        return f"member:{self.kind}:{place}:{quote(self.column, safe='')}:{self.location}"


class Archives:
    """Numbered archives, so that a listing of a million members holds the name of each archive once.

    A place is `NUMBER:FIRST:SECOND`, or `NUMBER:PATH` in a folder, or `!` and the reason why there are no bytes.
    """

    def __init__(self, archives: Sequence[Archive] = ()) -> None:
        self._archives = list(archives)

    def add(self, archive: Archive) -> int:
        """Return the number of a new archive."""
        self._archives.append(archive)
        return len(self._archives) - 1

    def locate(self, place: str) -> str:
        """Return the location of a place."""
        if place.startswith(_PROBLEM):
            return unreadable(place[len(_PROBLEM) :])
        number, _, rest = place.partition(":")
        return self._archives[int(number)].locate(rest)


def problem(reason: str) -> str:
    """Return the place of a clip whose bytes cannot be found."""
    return f"{_PROBLEM}{reason}"


def unreadable(reason: str) -> str:
    """Return the location of a clip whose bytes cannot be found."""
    return f"{_UNREADABLE}{reason}"


def find_reason(location: str) -> str | None:
    """Return the reason in the location of a clip whose bytes cannot be found; None for any other."""
    return location.removeprefix(_UNREADABLE) if location.startswith(_UNREADABLE) else None


def is_member(location: str) -> bool:
    """Return whether a location is inside an archive."""
    return _MEMBER.fullmatch(location) is not None


def parse_member(location: str) -> Member:
    """Parse the location of a member. Raises ValueError for any other."""
    found = _MEMBER.fullmatch(location)
    if not found:
        raise ValueError(f"{location} is no member of an archive")
    kind, first, second, column, archive = found.groups()
    return Member(
        kind=kind,
        first=int(first),
        second=int(second),
        column=unquote(column),
        archive=ObjectPath(archive) if "://" in archive else Path(archive),
    )


def is_reserved(uri: str) -> bool:
    """Return whether a uri of a listing has the form of a location that only this program makes."""
    return uri.startswith(("member:", _UNREADABLE))


def is_remote(location: str) -> bool:
    """Return whether the bytes at a location must be fetched before workers can read them."""
    return "://" in location and not is_reserved(location)


def find_file(location: str) -> str | None:
    """Return the path of the file on this machine's disks that holds a location's bytes; None if there is none."""
    if find_reason(location) is not None or is_remote(location):
        return None
    if not is_member(location):
        return location
    archive = parse_member(location).archive
    return str(archive) if isinstance(archive, Path) else None


def describe(location: str) -> str:
    """Return a location as a message shows it."""
    return str(parse_member(location)) if is_member(location) else location


def find_stamp(archive: Location) -> tuple[int, int] | None:
    """Return the time of change and the size of an archive on disk, to notice that it is another one by now.

    Raises OSError.
    """
    if not isinstance(archive, Path):
        return None
    status = archive.stat()
    return status.st_mtime_ns, status.st_size
