"""Where a cache lies: a folder, or below a prefix in an object store. Names in, bytes out, and back."""

import contextlib
import dataclasses
import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from curation.errors import OutputError
from curation.fetch.errors import FetchError
from curation.fetch.objects import one_line, open_store

_CHUNK = 2**20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kept:
    """One file of a store."""

    name: str
    num_bytes: int
    used_ns: int
    """When it was last used, in a folder; when it was written, elsewhere."""


class Store(Protocol):
    """Files by name, each whole or not there. All methods may be called from several threads."""

    def locate(self, name: str) -> str:
        """Say where a file is or will be, as `fetch_bytes` takes it."""
        ...

    def read(self, name: str) -> bytes | None:
        """Read a small file; None where it is not there or cannot be read."""
        ...

    def sha256(self, name: str) -> str | None:
        """Hash a file, and count that as a use of it; None where it is not there or cannot be read."""
        ...

    def put(self, name: str, path: Path) -> None:
        """Move a file on disk into the store. Raises OSError or OutputError where that cannot be."""
        ...

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""
        ...

    def list(self, folder: str) -> Iterator[Kept]:
        """Yield the files below a folder."""
        ...


@dataclasses.dataclass(frozen=True)
class FolderStore:
    """A folder on disk."""

    root: Path

    def locate(self, name: str) -> str:
        """Give the path of a file."""
        return str(self.root / name)

    def read(self, name: str) -> bytes | None:
        """Read a small file."""
        try:
            return (self.root / name).read_bytes()
        except OSError:
            return None

    def sha256(self, name: str) -> str | None:
        """Hash a file, and note in its time of modification that it was used."""
        try:
            with (self.root / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.utime(self.root / name)
        except OSError:
            return None
        return digest

    def put(self, name: str, path: Path) -> None:
        """Rename a file into its place; from another disk, copy it beside that place first."""
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # Others may be putting the same bytes there: a temporary name must be of this call alone.
            temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")
            try:
                shutil.copyfile(path, temporary)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
            path.unlink()

    def remove(self, name: str) -> None:
        """Unlink a file."""
        (self.root / name).unlink(missing_ok=True)

    def list(self, folder: str) -> Iterator[Kept]:
        """Walk through a folder."""
        for path in (self.root / folder).rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                if path.is_file():
                    name = str(path.relative_to(self.root))
                    yield Kept(name=name, num_bytes=status.st_size, used_ns=status.st_mtime_ns)


@dataclasses.dataclass(frozen=True)
class ObjectStore:
    """Objects below a location such as `s3://bucket/prefix`."""

    location: str

    def locate(self, name: str) -> str:
        """Give the location of an object."""
        return f"{self.location.rstrip('/')}/{name}"

    def read(self, name: str) -> bytes | None:
        """Read a small object."""
        filesystem, path = open_store(self.locate(name))
        try:
            with filesystem.open_input_stream(path, compression=None) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error

    def sha256(self, name: str) -> str | None:
        """Hash an object."""
        filesystem, path = open_store(self.locate(name))
        digest = hashlib.sha256()
        try:
            with filesystem.open_input_stream(path, compression=None) as stream:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error
        return digest.hexdigest()

    def put(self, name: str, path: Path) -> None:
        """Upload a file, and remove it here."""
        filesystem, target = open_store(self.locate(name))
        try:
            # In one piece, as what a fault cuts off would appear under its name when the stream is closed.
            with filesystem.open_output_stream(target, compression=None) as stream:
                stream.write(path.read_bytes())
        except OSError as error:
            raise self._unusable(error) from error
        path.unlink()

    def remove(self, name: str) -> None:
        """Delete an object."""
        filesystem, path = open_store(self.locate(name))
        with contextlib.suppress(FileNotFoundError):
            filesystem.delete_file(path)

    def list(self, folder: str) -> Iterator[Kept]:
        """List the objects below a prefix."""
        from pyarrow import fs

        filesystem, path = open_store(self.locate(folder))
        root = open_store(self.locate(""))[1]
        for found in filesystem.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True)):
            if found.type == fs.FileType.File:
                yield Kept(name=found.path.removeprefix(root), num_bytes=found.size, used_ns=found.mtime_ns or 0)

    def _unusable(self, error: Exception) -> OutputError:
        return OutputError(f"the cache {self.location} cannot be used: {one_line(error)}")


def open_cache_store(location: str) -> Store:
    """Choose by the scheme. Raises OutputError for a store that cannot be opened."""
    if "://" not in location:
        return FolderStore(Path(location))
    try:
        open_store(location)
    except FetchError as error:
        raise OutputError(f"the cache {location} cannot be used: {error}") from error
    return ObjectStore(location)
