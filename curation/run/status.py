"""OUT/.work/status.json: how far a run has come, for `pix2gif status` in another process and after a crash."""

import collections
import contextlib
import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from curation.run.locks.store_lock import describe_process
from shards.errors import StoreError
from shards.interface.credentials import redact
from shards.json_fields import load_json
from shards.schema import Verdict
from shards.storage.atomic import write_atomically
from shards.storage.location import Location

STATUS = "status.json"
_SECONDS_BETWEEN_WRITES = 0.1
_SECONDS_BETWEEN_UPLOADS = 10.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Status:
    """How far a run has come."""

    process: dict[str, Any]
    """Host, process id and machine of the run, as in a lock."""
    command: str
    """The command line of the run, without credentials; empty for a call from Python."""
    folder: str
    """The working folder of the run."""
    workers: str
    started: str
    """UTC, ISO 8601."""
    updated: str
    """UTC, ISO 8601: when this was written."""
    stages: dict[str, float]
    """Seconds of each stage that has ended, in order."""
    stage: str
    """The stage in progress; empty between stages."""
    stage_seconds: float
    num_done: int
    total: int
    """Units of the stage; 0 if it is only timed."""
    unit: str
    verdicts: dict[str, int]
    """Clips by verdict so far; a clip without one is still in work."""


def read_status(work: Location) -> Status | None:
    """Return the status in a work folder; None if there is none, or if this version cannot read it."""
    try:
        record: dict[str, Any] = load_json((work / STATUS).read_text(encoding="utf-8"))
        return Status(**record)
    except (OSError, StoreError, ValueError, TypeError):
        return None


def command_line() -> str:
    """Return the command line of this process without credentials, as a person would type it."""
    return redact(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]))


class StatusFile:
    """Writes the status of a run, at most ten times a second on disk, every ten seconds in an object store.

    A status that cannot be written is left out: it must not stop a run.
    """

    def __init__(self, work: Location, workers: str, command: str) -> None:
        self._path = work / STATUS
        self._interval_s = _SECONDS_BETWEEN_WRITES if isinstance(work, Path) else _SECONDS_BETWEEN_UPLOADS
        self._written_s = 0.0
        self._verdicts: collections.Counter[str] = collections.Counter()
        self._fixed = {
            "process": describe_process(),
            "command": command,
            "folder": str(Path.cwd()),
            "workers": workers,
            "started": _now(),
        }

    def count_verdicts(self, verdicts: Mapping[Verdict, int]) -> None:
        """Count clips by the verdicts that they got; written with the next update."""
        self._verdicts.update({verdict.value: number for verdict, number in verdicts.items()})

    def write(self, values: dict[str, Any], *, now: bool) -> None:
        """Write the remaining fields of Status, unless it was written a moment ago and `now` is off."""
        if not now and time.monotonic() - self._written_s < self._interval_s:
            return
        self._written_s = time.monotonic()
        record = {**self._fixed, **values, "updated": _now(), "verdicts": dict(self._verdicts)}
        with (
            contextlib.suppress(OSError, StoreError),
            # To wait for the disk would take longer than the work between two writes.
            write_atomically(self._path, is_lasting=False) as temporary,
        ):
            temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
