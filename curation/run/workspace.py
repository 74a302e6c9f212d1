"""The folders of OUT during a run: lock them, remove leftovers of earlier runs, clean up at the end.

OUT/.work/ holds what a run needs and a data set does not: the lock, fetched GIFs, encoded fragments, records of
completed shards. A .work/ without a manifest means: begun by a run, not finished.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import filelock

from curation.errors import OutputError
from curation.run.store_lock import StoreLock
from shards.schema import FLOW, MANIFEST, SPLITS
from shards.storage.location import Location, ObjectPath, list_files, remove_tree


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskFolders:
    """Folders of OUT that workers write to while they measure."""

    flow: Location
    """Parts of the flow table."""
    slices: Location
    """Measured slices of long clips, until they are joined."""
    quarantine: Location
    """Clips that crashed or timed out."""


class Workspace:
    """The folders of one OUT."""

    def __init__(self, out: Location) -> None:
        self.out = out
        self._store_lock: StoreLock | None = None
        self.flow = out / FLOW
        self.work = out / ".work"
        self.fetched = self.work / "fetched"
        self.fragments = self.work / "fragments"
        self.receipts = self.work / "receipts"
        self.slices = self.work / "slices"
        self.quarantine = out / "quarantine"

    @property
    def task_folders(self) -> TaskFolders:
        """The folders that workers write to, as a value that can be sent to them."""
        return TaskFolders(flow=self.flow, slices=self.slices, quarantine=self.quarantine)

    @contextlib.contextmanager
    def lock(self, *, overwrite: bool) -> Iterator[None]:
        """Hold the lock on OUT while the block runs.

        Raises OutputError if OUT holds something else and `overwrite` is off, if another run has the lock, or if OUT
        cannot be written.
        """
        self._check_ownership(overwrite)
        with self._lock_folder(self.work) if isinstance(self.work, Path) else self._lock_objects(self.work):
            yield
        if {path.name for path in self.work.iterdir()} <= {"lock", "locks"}:
            remove_tree(self.work)

    def check_lock(self) -> None:
        """Raise OutputError if the lock may be lost: a run that cannot reach its store loses it after a while."""
        if self._store_lock:
            self._store_lock.check()

    def mark_unfinished(self) -> None:
        """Remove the manifest and the temporary files of a killed run: OUT is unfinished until a new manifest."""
        (self.out / MANIFEST).unlink(missing_ok=True)
        self._remove_temporary_files()

    def _remove_temporary_files(self) -> None:
        folders = [self.out, *(self.out / split for split in SPLITS)]
        folders += [self.work, self.flow, self.quarantine, self.slices, self.fragments, self.receipts]
        for folder in folders:
            for path in list_files(folder, ".*.tmp"):
                path.unlink(missing_ok=True)

    def remove_unplanned_shards(self, planned: set[Location]) -> None:
        """Remove shards that are not in the plan: a run with other parameters wrote them."""
        for split in SPLITS:
            for path in list_files(self.out / split, "*.tar"):
                if path not in planned:
                    path.unlink()
            with contextlib.suppress(OSError):
                (self.out / split).rmdir()  # Fails unless it is empty.

    def clean_up(self) -> None:
        """Remove what only the run needed.

        Fetched GIFs stay; in an object store the records of completed shards stay too: they hold the ETags.
        Temporary files of killed workers go: Ray ran their tasks again, under other names.
        """
        if isinstance(self.out, Path):
            self._remove_temporary_files()
        remove_tree(self.fragments)
        remove_tree(self.slices)
        if isinstance(self.receipts, Path):
            remove_tree(self.receipts)

    @contextlib.contextmanager
    def _lock_folder(self, work: Path) -> Iterator[None]:
        try:
            work.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(work / "lock")
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise OutputError(f"another run is writing to {self.out}; wait for it, or choose another --out") from None
        except OSError as error:
            raise OutputError(f"cannot write to --out {self.out}: {error.strerror}") from error
        with lock:
            yield

    @contextlib.contextmanager
    def _lock_objects(self, work: ObjectPath) -> Iterator[None]:
        self._store_lock = StoreLock(self.out, work / "locks")
        with self._store_lock.hold():
            yield

    def _check_ownership(self, overwrite: bool) -> None:
        """Raise OutputError if OUT is a file, or holds files of something else that must not be mixed with ours."""
        try:
            if self.out.exists() and not self.out.is_dir():
                raise OutputError(f"--out {self.out} is a file; a folder was expected")
            ours = (self.out / MANIFEST).exists() or self.work.exists()
            if not ours and not overwrite and self.out.is_dir() and any(self.out.iterdir()):
                raise OutputError(
                    f"--out {self.out} holds something else; choose an empty folder, or add --overwrite to write "
                    "beside what is there"
                )
        except PermissionError as error:
            raise OutputError(f"cannot read --out {self.out}: {error.strerror}") from error
