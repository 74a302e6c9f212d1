"""Read one value of a binary column of a Parquet file.

A row group is decoded from its beginning, in small batches. The last one stays open with the values around the last
one that was read: clips are read nearly in order, by several threads.
"""

import collections
import os
import threading
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from curation.archives.errors import MemberError, MemberTooLargeError
from curation.archives.location import Member, find_stamp
from shards.errors import StoreError, describe_error
from shards.storage.location import Location, open_for_arrow
from shards.storage.object_stores import first_line

MAX_GROUP_BYTES = 2 * 2**30
"""Of the column in one row group. Reading a GIF decodes half of a row group on average."""
_ROWS_PER_BATCH = 16
_WINDOW_BYTES = 32 * 2**20
_BUFFER_BYTES = 2**20


class _OpenGroup:
    """A row group that is being decoded."""

    def __init__(self, archive: Location, group: int, column: str) -> None:
        # The bytes are read as they are needed: pre_buffer would read the whole row group.
        self._file = pq.ParquetFile(open_for_arrow(archive), buffer_size=_BUFFER_BYTES, pre_buffer=False)
        self._batches: Iterator[pa.RecordBatch] = self._file.iter_batches(
            _ROWS_PER_BATCH, row_groups=[group], columns=[column], use_threads=False
        )
        self._window: collections.deque[pa.Array] = collections.deque()
        self._first = self._end = 0

    def find(self, row: int) -> pa.Scalar | None:
        """Return the value of a row; None if the window is past it. Raises IndexError beyond the last row."""
        if row < self._first:
            return None
        while row >= self._end:
            if (batch := next(self._batches, None)) is None:
                raise IndexError("no such row")
            values = batch.column(0)
            while pa.types.is_struct(values.type):
                values = values.field(0)
            self._window.append(values)
            self._end += len(values)
            while len(self._window) > 1 and sum(kept.nbytes for kept in self._window) > _WINDOW_BYTES:
                self._first += len(self._window.popleft())
        first = self._first
        for values in self._window:
            if row < first + len(values):
                return values[row - first]
            first += len(values)
        raise IndexError("no such row")


_LOCK = threading.Lock()
_LAST: dict[tuple[object, ...], _OpenGroup] = {}
"""The row group that was read last, by archive with its time and size, group, column and process."""


def read_from_parquet(member: Member, max_bytes: int) -> bytes:
    """Return the bytes in a row of a row group. Raises MemberError."""
    try:
        with _LOCK:
            value = _find(member)
            num_bytes = 0 if value is None or not value.is_valid else value.as_buffer().size
            if num_bytes > max_bytes:
                raise MemberTooLargeError(num_bytes, max_bytes)
            if value is None or not value.is_valid:
                raise MemberError(f"{member} holds no bytes")
            return bytes(value.as_buffer())
    except (pa.ArrowException, IndexError, KeyError, ValueError) as error:
        _LAST.clear()
        raise MemberError(f"{member} is damaged: {first_line(error)}") from error
    except (OSError, StoreError) as error:
        _LAST.clear()
        raise MemberError(f"cannot read {member.archive}: {describe_error(error)}") from error


def _find(member: Member) -> pa.Scalar | None:
    key = (str(member.archive), find_stamp(member.archive), member.first, member.column, os.getpid())
    if key in _LAST and (value := _LAST[key].find(member.second)) is not None:
        return value
    _LAST.clear()
    _LAST[key] = _OpenGroup(member.archive, member.first, member.column)
    return _LAST[key].find(member.second)
