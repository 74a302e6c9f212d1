"""Where a cache lies: a folder, or below a prefix in an object store. Names in, bytes out, and back."""

import contextlib
import dataclasses
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from shards.location import Location, ObjectPath
from shards.stores import open_store
from shards.writer import file_sha256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kept:
    """One file of a store."""

    name: str
    num_bytes: int
    used_ns: int
    """When it was last used, in a folder; when it was written, elsewhere."""


@dataclasses.dataclass(frozen=True)
class Store:
    """Files by name below a place, each whole or not there. All methods may be called from several threads.

    They raise StoreError where an object store cannot be used, OSError for a full or unwritable disk.
    """

    root: Location

    def locate(self, name: str) -> str:
        """Say where a file is or will be, as `fetch_bytes` takes it."""
        return str(self.root / name)

    def read(self, name: str) -> bytes | None:
        """Read a small file; None where it is not there or cannot be read."""
        try:
            return (self.root / name).read_bytes()
        except OSError:
            return None

    def sha256(self, name: str) -> str | None:
        """Hash a file; None where it is not there or cannot be read. On disk its time of change notes the use."""
        path = self.root / name
        try:
            digest = file_sha256(path)
            if isinstance(path, Path):
                os.utime(path)
        except OSError:
            return None
        return digest

    def put(self, name: str, path: Path) -> None:
        """Move a file on disk into the store."""
        target = self.root / name
        if isinstance(target, Path):
            _move(path, target)
        else:
            target.upload(path)
            path.unlink()

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""
        (self.root / name).unlink(missing_ok=True)

    def list(self, folder: str) -> Iterator[Kept]:
        """Yield the files below a folder."""
        root = self.root / folder
        if isinstance(root, ObjectPath):
            for found, info in root.scan(recursive=True):
                if info.is_file:
                    yield Kept(name=self._name(found), num_bytes=info.size, used_ns=info.mtime_ns or 0)
            return
        for path in root.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                if path.is_file():
                    yield Kept(name=self._name(path), num_bytes=status.st_size, used_ns=status.st_mtime_ns)

    def _name(self, path: Location) -> str:
        return str(path).removeprefix(f"{self.root}/")


def _move(path: Path, target: Path) -> None:
    """Rename a file into its place; from another disk, copy it beside that place first."""
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


def open_cache_store(location: str) -> Store:
    """Choose by the scheme. Raises StoreError for a store that cannot be opened."""
    if "://" not in location:
        return Store(Path(location))
    open_store(location)
    return Store(ObjectPath(location.rstrip("/")))
