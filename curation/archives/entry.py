"""A file in an archive or a folder."""

import dataclasses

MAX_TEXT_BYTES = 2**20
"""Of a member that holds a caption."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A file in an archive."""

    name: str
    """Its name in the archive, or its path below the folder."""
    place: str
    """`FIRST:SECOND` of its location in an archive, or its path below the folder."""
    num_bytes: int
    problem: str | None = None
    """Why it is not read; None for a regular file."""


def find_name_problem(name: str) -> str | None:
    """Return why the name of a member is refused; None if it is not.

    Nothing is unpacked, so such a name does no harm here. Whoever writes one attacks programs that unpack.
    """
    if not name:
        return "it has no name"
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or parts[0].endswith(":"):
        return "its name leads out of the archive"
    return None
