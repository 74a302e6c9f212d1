"""The shards of a split: read in place, or downloaded whole into a cache and checked against their SHA-256.

Cached files are named by their content, so one folder serves any number of data sets, jobs and processes at once, and
is never out of date.
"""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from shards.manifest import ShardEntry
from shards.storage.atomic import write_atomically
from shards.storage.location import Location, ReadableLocation
from shards.writer import file_sha256
from training.data.errors import DamageError, DataError, raise_data_errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardFiles:
    """The shards of a split. Picklable, to be sent to workers."""

    location: ReadableLocation
    """Of the data set or latent cache."""
    split: str
    cache: Path | None = None
    """Folder for whole shards of a remote location; without one, shards are read by ranges."""

    @property
    def is_remote(self) -> bool:
        """Whether the shards are not on this machine's disks."""
        return not isinstance(self.location, Path)

    @property
    def are_local(self) -> bool:
        """Whether every shard is on disk, or will be cached there."""
        return self.cache is not None or not self.is_remote

    def path_of(self, entry: ShardEntry) -> ReadableLocation:
        """Return the location of a shard."""
        return self.location / self.split / entry.name

    def open(self, entry: ShardEntry) -> Any:
        """Open a shard, unbuffered, to seek in and read; from the cache if there is one. Raises DataError."""
        path = self.local_path(entry) if self.are_local else self.path_of(entry)
        with raise_data_errors(path):
            return path.open("rb", buffering=0)

    @contextlib.contextmanager
    def on_disk(self, entry: ShardEntry) -> Iterator[Path]:
        """Yield a shard's file: its own, its copy in the cache, or a temporary download. Raises DataError."""
        if self.are_local:
            yield self.local_path(entry)
            return
        with tempfile.TemporaryDirectory(prefix="pix2gif-") as folder:
            path = Path(folder, entry.name)
            self._download(entry, path)
            yield path

    def local_path(self, entry: ShardEntry) -> Path:
        """Return the path of a shard on disk; download it first if it is remote and not cached yet.

        Raises DamageError where its bytes are not those of the manifest, DataError where it cannot be downloaded.
        """
        if isinstance(self.location, Path):
            return self.location / self.split / entry.name
        path = self._cached_path(entry)
        if not _has_size(path, entry):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with FileLock(path.with_suffix(".lock")):
                    if not _has_size(path, entry):
                        with write_atomically(path) as temporary:
                            self._download(entry, temporary)
            except OSError as error:
                raise DataError(f"{self.cache}: cannot cache shards here: {error.strerror or error}") from error
        return path

    def drop_if_damaged(self, entry: ShardEntry) -> None:
        """Remove a cached shard whose bytes are no longer those of the manifest."""
        if self.cache is None or not self.is_remote:
            return
        path = self._cached_path(entry)
        with FileLock(path.with_suffix(".lock")):
            if path.exists() and file_sha256(path) != entry.sha256:
                path.unlink()

    def _download(self, entry: ShardEntry, to: Path) -> None:
        path = self.path_of(entry)
        assert not isinstance(path, Path), "a local shard is not downloaded"  # noqa: S101 # For the type checker.
        with raise_data_errors(path):
            path.download(to)
        check_sha256(to, entry, path)

    def _cached_path(self, entry: ShardEntry) -> Path:
        assert self.cache is not None, "without a cache there is no path in it"  # noqa: S101 # For the type checker.
        return self.cache / "shards" / f"{entry.sha256}{Path(entry.name).suffix}"


def check_sha256(file: Location, entry: ShardEntry, path: ReadableLocation) -> None:
    """Check a shard's file against the manifest; `path` names the shard in the error. Raises DamageError."""
    if file_sha256(file) != entry.sha256:
        raise DamageError(str(path), f"its SHA-256 is not the manifest's ({entry.sha256[:12]}...)")


def _has_size(path: Path, entry: ShardEntry) -> bool:
    try:
        return path.stat().st_size == entry.num_bytes
    except OSError:
        return False
