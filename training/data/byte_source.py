"""What is asked of a place where files lie: names in, bytes out.

A storage is small and can be sent to a worker; connections are made where they are used, one for each process.
"""

from collections.abc import Iterator
from typing import Protocol

from training.data.errors import DataError

TIMEOUT_S = 60.0
NUM_ATTEMPTS = 4
"""How often a remote read is tried, with a pause that doubles from half a second."""
CHUNK = 2**20
"""Bytes of a file that is read once, in order, at a time."""


class StorageError(DataError):
    """A file cannot be read where it lies."""


class ByteSource(Protocol):
    """An open file."""

    def read_at(self, offset: int, num_bytes: int) -> bytes:
        """Read a range; fewer bytes where the file ends before. Raises StorageError."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Storage(Protocol):
    """The files below one location."""

    @property
    def location(self) -> str:
        """As the user gave it, without a slash at the end."""
        ...

    @property
    def is_remote(self) -> bool:
        """Whether a read crosses a network."""
        ...

    def path_of(self, name: str) -> str:
        """Path or URL of a file, for a person."""
        ...

    def read_whole(self, name: str) -> bytes:
        """Read a small file. Raises FileNotFoundError, or StorageError."""
        ...

    def open(self, name: str) -> ByteSource:
        """Open a file for reads of ranges. Raises StorageError."""
        ...

    def stream(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes once, in order. Raises StorageError."""
        ...
