"""Why an archive or a member of it cannot be read.

::

    ArchiveError            the archive: one sentence that names it
    MemberError             one member
        MemberTooLargeError
"""


class ArchiveError(Exception):
    """An archive cannot be read, or the file is not an archive."""


class MemberError(Exception):
    """A member cannot be read."""


class MemberTooLargeError(MemberError):
    """A member has more bytes than the limit allows."""

    def __init__(self, num_bytes: int, max_bytes: int) -> None:
        super().__init__(f"{num_bytes:,} bytes, more than the limit of {max_bytes:,}")
