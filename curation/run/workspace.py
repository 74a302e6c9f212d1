"""OUT while a run is under way: who may write there, what is left of earlier runs, what is cleared at the end.

OUT/.work/ holds what a run needs and a data set does not: a lock, fetched GIFs, encoded fragments, receipts of
finished shards. Its presence without a manifest means: begun by us, not finished.
"""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.errors import OutputError
from curation.export.completed_shards import read_receipt, receipt_path, still_holds
from curation.flow.table import count_rows
from curation.run.places import Places
from curation.run.store_lock import Claim
from shards.errors import DatasetError
from shards.location import Location, ObjectPath, for_arrow, list_files, remove_tree
from shards.manifest import Manifest, read_manifest
from shards.schema import CLIPS, FLOW, MANIFEST, REPORT, SPLITS


class Workspace:
    """The folders of one OUT."""

    def __init__(self, out: Location) -> None:
        self.out = out
        self._claim: Claim | None = None
        self.flow = out / FLOW
        self.work = out / ".work"
        self.fetched = self.work / "fetched"
        self.fragments = self.work / "fragments"
        self.receipts = self.work / "receipts"
        self.slices = self.work / "slices"
        self.quarantine = out / "quarantine"

    @property
    def places(self) -> Places:
        """Where workers put what they measure."""
        return Places(flow=self.flow, slices=self.slices, quarantine=self.quarantine)

    @contextlib.contextmanager
    def claim(self, *, overwrite: bool) -> Iterator[None]:
        """Make OUT ours for as long as the block lasts. Raises OutputError where that must not or cannot be."""
        self._refuse_foreign(overwrite)
        with self._lock_folder(self.work) if isinstance(self.work, Path) else self._lock_objects(self.work):
            yield
        if {path.name for path in self.work.iterdir()} <= {"lock", "claims"}:
            remove_tree(self.work)

    def confirm(self) -> None:
        """Raise OutputError where OUT is no longer ours, as it may happen to a run that could not reach its store."""
        if self._claim:
            self._claim.confirm()

    def finished(self) -> Manifest | None:
        """Read the manifest of a data set that is finished and whose files are whole, to the bit; None otherwise.

        Reads every shard and part, at the speed of the disk; in a store it asks whether the shards are those of the
        receipts, and reads the parts.
        """
        if not (self.out / MANIFEST).exists():
            return None
        try:
            manifest = read_manifest(self.out)
            clips = pq.read_table(for_arrow(self.out / CLIPS), columns=["num_pairs"])
            shards = [
                (self.out / split / shard.name, shard.sha256, receipt_path(self.receipts, split, number))
                for split, entry in manifest.splits.items()
                for number, shard in enumerate(entry.shards)
            ]
            with ThreadPoolExecutor() as threads:
                whole = (
                    (self.out / REPORT).is_file()
                    and all(threads.map(lambda shard: still_holds(shard[0], shard[1], read_receipt(shard[2])), shards))
                    and sum(threads.map(count_rows, list_files(self.flow, "part-*")))
                    == pc.sum(clips["num_pairs"]).as_py()
                )
        except (DatasetError, OSError, pa.ArrowException):
            return None
        return manifest if whole else None

    def reopen(self) -> None:
        """Take the manifest away: from here on OUT is unfinished, until a new one is written.

        What a killed run was writing goes too.
        """
        (self.out / MANIFEST).unlink(missing_ok=True)
        self._drop_unfinished_files()

    def _drop_unfinished_files(self) -> None:
        folders = [self.out, *(self.out / split for split in SPLITS)]
        folders += [self.flow, self.quarantine, self.slices, self.fragments, self.receipts]
        for folder in folders:
            for path in list_files(folder, ".*.tmp"):
                path.unlink(missing_ok=True)

    def drop_stray_shards(self, planned: set[Location]) -> None:
        """Remove shards, of a run with other parameters, that the present plan does not hold."""
        for split in SPLITS:
            for path in list_files(self.out / split, "*.tar"):
                if path not in planned:
                    path.unlink()
            with contextlib.suppress(OSError):
                (self.out / split).rmdir()  # Only where it is empty.

    def clear(self) -> None:
        """Remove what only the run needed; fetched GIFs stay, and in a store the receipts, to know its shards by.

        What a killed worker was writing goes as well: its task was done again, under another name.
        """
        if isinstance(self.out, Path):
            self._drop_unfinished_files()
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
        self._claim = Claim(self.out, work / "claims")
        with self._claim.hold():
            yield

    def _refuse_foreign(self, overwrite: bool) -> None:
        try:
            if self.out.exists() and not self.out.is_dir():
                raise OutputError(f"--out {self.out} is a file; a folder was expected")
            ours = (self.out / MANIFEST).exists() or self.work.exists()
            if not ours and not overwrite and self.out.is_dir() and any(self.out.iterdir()):
                raise OutputError(
                    f"--out {self.out} holds something else; choose an empty folder, or add --overwrite to write "
                    "among what is there"
                )
        except PermissionError as error:
            raise OutputError(f"cannot read --out {self.out}: {error.strerror}") from error
