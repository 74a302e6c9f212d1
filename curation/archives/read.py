"""The location of a member -> its bytes."""

from curation.archives.location import PARQUET, TAR, ZIP, parse_member
from curation.archives.row_groups import read_from_parquet
from curation.archives.tars import read_from_tar
from curation.archives.zips import read_from_zip

_READERS = {TAR: read_from_tar, ZIP: read_from_zip, PARQUET: read_from_parquet}


def read_member(location: str, max_bytes: int) -> bytes:
    """Return the bytes of a member. Raises MemberError, and ValueError for a location that is none."""
    member = parse_member(location)
    return _READERS[member.kind](member, max_bytes)
