"""The folders of OUT during a run: lock them, remove leftovers of earlier runs, clean up at the end.

OUT/.work/ holds what a run needs and a data set does not: the lock, the marker that says that OUT is ours, fetched
GIFs, encoded fragments, records of completed shards. A marker without a manifest means: begun by a run, not finished.
Only files that the manifest or the marker lists, or whose names no other program chooses, are ever deleted.
"""

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from curation.errors import OutputError
from curation.run.locks.folder_lock import hold_folder_lock
from curation.run.locks.store_lock import StoreLock
from curation.run.quarantine import INCIDENT_NAME, QUARANTINE
from curation.run.status import STATUS
from shards.schema import CARD, CLIPS, FLOW, MANIFEST, PART_DIGITS, REPORT, SPLITS
from shards.storage.atomic import remove_temporary_files
from shards.storage.location import Location, ObjectPath, list_files, remove_tree
from shards.storage.ownership import (
    MARKER,
    OutputKind,
    describe_conflict,
    find_link,
    is_finished_output,
    list_entries,
    read_marker,
    read_record,
    write_marker,
)

_FOLDERS = (".work", FLOW, QUARANTINE, *SPLITS)
SHARD_NAME = re.compile(r"\d{5}\.tar")
PART_NAME = re.compile(rf"part-[0-9a-f]{{{PART_DIGITS}}}\.parquet")
_OPTIONS = "run.json"
_RECEIPT_NAME = re.compile(rf"({'|'.join(SPLITS)})-\d{{5}}\.json")
_WORK_NAME = re.compile(r"lock|locks|status\.json|fetched|fragments|receipts|slices|marker-[0-9a-f]{32}|\..+\.tmp")
_OWN_NAMES = "|".join(re.escape(name) for name in (MANIFEST, CLIPS, REPORT, CARD, MARKER, _OPTIONS, STATUS))
_TEMPORARY_NAMES = "|".join(
    (_OWN_NAMES, SHARD_NAME.pattern, PART_NAME.pattern, INCIDENT_NAME.pattern, _RECEIPT_NAME.pattern)
)
DATA_SET = OutputKind(
    name="data set",
    record=MANIFEST,
    fields=frozenset({"schema_version", "listing", "config", "config_digest", "verdicts", "splits"}),
    # Not the dataset card: a person may write it, and then no run replaces it.
    entries=frozenset({MANIFEST, CLIPS, REPORT, *_FOLDERS}),
    # All that an early version has written when it is stopped before its records.
    leftovers={".work": _WORK_NAME, FLOW: PART_NAME},
)


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
        self._write_error: OutputError | None = None
        self.flow = out / FLOW
        self.work = out / ".work"
        self.fetched = self.work / "fetched"
        self.fragments = self.work / "fragments"
        self.receipts = self.work / "receipts"
        self.slices = self.work / "slices"
        self.quarantine = out / QUARANTINE

    @property
    def task_folders(self) -> TaskFolders:
        """The folders that workers write to, as a value that can be sent to them."""
        return TaskFolders(flow=self.flow, slices=self.slices, quarantine=self.quarantine)

    @contextlib.contextmanager
    def lock(self, *, overwrite: bool) -> Iterator[None]:
        """Hold the lock on OUT while the block runs.

        Raises OutputError if OUT holds something else and `overwrite` is off, if files of others would be replaced, if
        another run has the lock, or if OUT cannot be written. A finished data set that cannot be written is not
        locked; `mark_unfinished` raises the error.
        """
        self._check_ownership(overwrite)
        with self._lock_folder(self.work) if isinstance(self.work, Path) else self._lock_objects(self.work):
            yield

    def check_lock(self) -> None:
        """Raise OutputError if the lock may be lost: a run that cannot reach its store loses it after a while."""
        if self._store_lock:
            self._store_lock.check()

    def mark_unfinished(self) -> None:
        """Remove the manifest and the temporary files of a killed run: OUT is unfinished until a new manifest.

        The marker is written first, so OUT is ours at every moment. Raises OutputError if OUT cannot be written.
        """
        if self._write_error:
            raise self._write_error
        self._check_links([self.out / name for name in (MANIFEST, CLIPS, REPORT, CARD)])
        write_marker(self.work, DATA_SET, sorted(self._list_own_shards()))
        (self.out / MANIFEST).unlink(missing_ok=True)
        self._remove_temporary_files()

    def remove_unplanned_shards(self, planned: set[Location]) -> None:
        """Remove our shards that are not in the plan: a run with other parameters wrote them.

        The marker lists the planned ones from now on. Raises OutputError if a file of others has a planned name.
        """
        own = self._list_own_shards()
        names = {f"{path.parent.name}/{path.name}" for path in planned}
        present = {f"{split}/{path.name}": path for split in SPLITS for path in list_files(self.out / split, "*.tar")}
        self._check_links([present[name] for name in sorted(present.keys() & (names | own))])
        if foreign := sorted(present.keys() & names - own):
            raise OutputError(
                f"{present[foreign[0]]} is in the way: no run of pix2gif wrote it here; move it away and run the same "
                "command again"
            )
        write_marker(self.work, DATA_SET, sorted(own | names))
        for name in sorted(present.keys() & own - names):
            present[name].unlink()
        for split in SPLITS:
            with contextlib.suppress(OSError):
                (self.out / split).rmdir()  # Fails unless it is empty.

    def clean_up(self) -> None:
        """Remove what only the run needed.

        Fetched GIFs stay; in an object store the records of completed shards stay too: they hold the ETags.
        Temporary files of killed workers go: Ray ran their tasks again, under other names.
        """
        if self._write_error:
            return
        (self.work / STATUS).unlink(missing_ok=True)
        if isinstance(self.out, Path):
            self._remove_temporary_files()
        remove_tree(self.fragments)
        remove_tree(self.slices)
        if isinstance(self.receipts, Path):
            remove_tree(self.receipts)

    def _remove_temporary_files(self) -> None:
        folders = [self.out, *(self.out / split for split in SPLITS)]
        folders += [self.work, self.flow, self.quarantine, self.slices, self.fragments, self.receipts]
        for folder in folders:
            if isinstance(folder, Path):
                remove_temporary_files(folder, _TEMPORARY_NAMES)

    def _list_own_shards(self) -> set[str]:
        """List the shards that may be deleted, as SPLIT/NAME: those of the manifest, else those of the marker.

        Without either, an earlier version has begun OUT: then every file with the name of a shard.
        """
        manifest = read_record(self.out / MANIFEST)
        if DATA_SET.fields <= manifest.keys():
            with contextlib.suppress(TypeError, AttributeError, KeyError):
                names = [f"{split}/{shard['name']}" for split in SPLITS for shard in _list_shards(manifest, split)]
                return {name for name in names if SHARD_NAME.fullmatch(name.rpartition("/")[2])}
            return set()
        marked = read_marker(self.work, DATA_SET)
        if marked is not None:
            return set(marked)
        shards = [path for split in SPLITS for path in list_files(self.out / split, "*.tar")]
        return {f"{path.parent.name}/{path.name}" for path in shards if SHARD_NAME.fullmatch(path.name)}

    @contextlib.contextmanager
    def _lock_folder(self, work: Path) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(hold_folder_lock(work / "lock", self._remove_empty_work_folder))
            except BlockingIOError:
                raise OutputError(
                    f"another run is writing to {self.out}; wait for it, or choose another --out"
                ) from None
            except OSError as error:
                self._write_error = OutputError(f"cannot write to --out {self.out}: {error.strerror}")
                if not is_finished_output(self.out, DATA_SET):
                    raise self._write_error from error
            yield

    def _remove_empty_work_folder(self) -> None:
        """Remove .work/ if it holds nothing but the lock and the marker of a finished data set.

        Called while the lock is held: a later run's lock must not be removed.
        """
        removable = {"lock"} | ({MARKER} if (self.out / MANIFEST).is_file() else set())
        if isinstance(self.work, Path) and {path.name for path in self.work.iterdir()} <= removable:
            (self.work / MARKER).unlink(missing_ok=True)
            (self.work / "lock").unlink()
            self.work.rmdir()

    @contextlib.contextmanager
    def _lock_objects(self, work: ObjectPath) -> Iterator[None]:
        self._store_lock = StoreLock(self.out, work / "locks")
        with self._store_lock.hold():
            yield

    def _check_ownership(self, overwrite: bool) -> None:
        """Raise OutputError if OUT is a file, or holds files of something else that must not be mixed with ours."""
        try:
            if isinstance(self.out, Path):
                self._check_links([*(self.out / name for name in _FOLDERS), *list_entries(self.work)])
            conflict = describe_conflict(self.out, DATA_SET, self._is_begun, beside=overwrite)
        except NotADirectoryError as error:
            if self.out.is_file():
                raise OutputError(f"--out {self.out} is a file; a folder was expected") from None
            raise OutputError(f"cannot write to --out {self.out}: {error.strerror}") from error
        except PermissionError as error:
            raise OutputError(f"cannot read --out {self.out}: {error.strerror}") from error
        if conflict:
            hint = "" if overwrite else ", or add --overwrite to write beside what is there"
            raise OutputError(f"--out {self.out} {conflict}{hint if 'something else' in conflict else ''}")

    def _check_links(self, paths: list[Location]) -> None:
        if link := find_link(paths):
            raise OutputError(
                f"{link} is a symbolic link, and a run writes and deletes files there; replace it by what it names, or "
                "choose another --out"
            )

    def _is_begun(self) -> bool:
        """Return whether a run has begun a data set in OUT. Earlier versions wrote no marker, but other records."""
        if read_marker(self.work, DATA_SET) is not None:
            return True
        if {"options", "config"} <= read_record(self.work / _OPTIONS).keys():
            return True
        receipts = (path for path in list_files(self.receipts, "*.json") if _RECEIPT_NAME.fullmatch(path.name))
        return any({"plan", "shard"} <= read_record(path).keys() for path in receipts)


def _list_shards(manifest: dict[str, object], split: str) -> list[dict[str, str]]:
    """Return the entries of a split's shards in a manifest of any version."""
    return manifest["splits"].get(split, {}).get("shards", [])  # type: ignore[attr-defined,no-any-return]
