"""Shards of a remote data set -> whole files on this machine, proved by their hash.

Files are named by their content, so one folder serves any number of data sets, jobs and processes at once, and what
lies in it is never out of date.
"""

import contextlib
import dataclasses
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from shards.atomic import write_atomically
from shards.manifest import ShardEntry
from shards.writer import file_sha256
from training.data.byte_source import NUM_ATTEMPTS, ByteSource, Storage, StorageError
from training.data.errors import DamageError, DataError
from training.data.storage import OpenFile


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardFiles:
    """The shards of a split, where they lie or in a cache. Can be sent to a worker."""

    storage: Storage
    split: str
    cache: Path | None = None
    """Folder for whole shards of a remote storage; without one, ranges are read where the shards lie."""

    @property
    def are_local(self) -> bool:
        """Whether every shard is, or becomes, a file on this machine."""
        return self.cache is not None or not self.storage.is_remote

    def path_of(self, entry: ShardEntry) -> str:
        """Path or URL of a shard where it lies, for a person."""
        return self.storage.path_of(self._name(entry))

    def open(self, entry: ShardEntry) -> ByteSource:
        """Open a shard, from the cache where there is one. Raises StorageError, or DamageError."""
        return OpenFile(self.local_path(entry)) if self.are_local else self.storage.open(self._name(entry))

    @contextlib.contextmanager
    def on_disk(self, entry: ShardEntry) -> Iterator[Path]:
        """Yield the path of a shard's file: its own, that in the cache, or a temporary download. Raises DataError."""
        if self.are_local:
            yield self.local_path(entry)
            return
        with tempfile.TemporaryDirectory(prefix="pix2gif-") as folder:
            path = Path(folder, entry.name)
            self._fetch(entry, path)
            yield path

    def local_path(self, entry: ShardEntry) -> Path:
        """Give the path of a shard's file, fetching it first where that is needed.

        Raises StorageError where it cannot be had, DamageError where its bytes are not those of the manifest.
        """
        if not self.storage.is_remote:
            return Path(self.path_of(entry))
        assert self.cache is not None, "a remote storage without a cache has no paths"  # noqa: S101 # Ours to hold.
        path = self._cached_path(entry)
        if not _has_size(path, entry):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with FileLock(path.with_suffix(".lock")):
                    if not _has_size(path, entry):
                        self._fetch(entry, path)
            except StorageError:
                raise
            except OSError as error:
                raise DataError(f"{self.cache}: cannot cache shards here: {error.strerror or error}") from error
        return path

    def drop_if_damaged(self, entry: ShardEntry) -> bool:
        """Remove a cached shard whose bytes are no longer those of the manifest; says whether it did."""
        if self.cache is None or not self.storage.is_remote:
            return False
        path = self._cached_path(entry)
        with FileLock(path.with_suffix(".lock")):
            if not path.exists() or file_sha256(path) == entry.sha256:
                return False
            path.unlink()
        return True

    def _fetch(self, entry: ShardEntry, path: Path) -> None:
        for attempt in range(1, NUM_ATTEMPTS + 1):
            try:
                with write_atomically(path) as temporary:
                    self._download(entry, temporary)
            except (StorageError, DamageError):
                # A connection that broke off, or a server that ended too soon: the next attempt may be whole.
                if attempt == NUM_ATTEMPTS:
                    raise
            else:
                return

    def _download(self, entry: ShardEntry, path: Path) -> None:
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for chunk in self.storage.stream(self._name(entry)):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != entry.sha256:
            raise not_the_manifests(self.path_of(entry), entry)

    def _name(self, entry: ShardEntry) -> str:
        return f"{self.split}/{entry.name}"

    def _cached_path(self, entry: ShardEntry) -> Path:
        assert self.cache is not None, "without a cache there is no path in it"  # noqa: S101 # Ours to hold.
        return self.cache / "shards" / f"{entry.sha256}{Path(entry.name).suffix}"


def not_the_manifests(path: str, entry: ShardEntry) -> DamageError:
    """Make the error of a shard whose bytes are others."""
    return DamageError(path, f"not the bytes that the manifest tells (sha256 {entry.sha256[:12]}...)")


def user_cache() -> Path:
    """Give the folder for what may be made again, of this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pix2gif"


def _has_size(path: Path, entry: ShardEntry) -> bool:
    try:
        return path.stat().st_size == entry.num_bytes
    except OSError:
        return False
