"""A place in an object store, written to by one run at a time: each run that wants to puts up a claim and looks around.

A claim is an object below one folder. Whoever finds another one beside its own, after it has put up its own, steps
back: of two runs the later to write sees the earlier, whatever happens between, as stores list what was written. That
takes no conditional write, which Arrow's clients cannot make and not every store knows. A run that lives writes its
claim anew every few seconds; one that has not been written for a while belongs to nobody.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from curation.errors import OutputError
from shards.atomic import write_atomically
from shards.errors import StoreError
from shards.location import Location, ObjectPath

BEAT_S = 20.0
STALE_S = 120.0
"""By the store's own clock, from the last sign of life."""
_LOST_S = 90.0
"""A run that gave no sign of life for so long gives up, before others may take its place."""
_held: set[str] = set()
"""Names of the claims of this process."""


class StoreLock:
    """The claim of one run."""

    def __init__(self, out: Location, folder: ObjectPath) -> None:
        self._out = out
        self._path = folder / f"{uuid.uuid4().hex}.json"
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._last_beat_s = 0.0
        self._ended = threading.Event()

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the place as long as the block lasts. Raises OutputError where another run does, or it cannot be."""
        thread = threading.Thread(target=self._keep_beating, daemon=True)
        try:
            self._put_up()
            thread.start()
            yield
        finally:
            self._ended.set()
            if thread.is_alive():
                thread.join(BEAT_S)  # It may be waiting for a store that does not answer.
            self._withdraw()

    def check(self) -> None:
        """Raise OutputError where the place is ours no longer."""
        if time.time() - self._last_beat_s > _LOST_S or not self._path.is_file():
            raise OutputError(
                f"{self._out} did not hear of this run for {STALE_S:.0f} s, and another one may have taken its place; "
                "what was finished is kept: run the same command again"
            )

    def _put_up(self) -> None:
        try:
            _held.add(self._path.name)
            self._beat()
            self._step_back_for_others()
        except StoreError as error:
            reason = str(error).removeprefix(f"{self._path}: ")
            raise OutputError(f"cannot write to --out {self._out}: {reason}") from error

    def _step_back_for_others(self) -> None:
        found = dict(self._path.parent.scan())
        own = found.pop(self._path, None)
        if own is None:
            raise StoreError(f"{self._path}: was written, and the store does not list it")
        for path, info in found.items():
            silent_s = (own.mtime_ns - info.mtime_ns) / 1e9
            record = _read_claim(path)
            if silent_s > STALE_S or record is None or _is_dead(path, record):
                path.unlink(missing_ok=True)
                continue
            raise OutputError(
                f"another run is writing to {self._out}: process {record['pid']} on {record['host']}, since "
                f"{record['since']}, last heard of {max(0.0, silent_s):.0f} s ago; wait for it, or choose another "
                f"--out; if it was killed, its claim ends {STALE_S:.0f} s after that"
            )

    def _keep_beating(self) -> None:
        while not self._ended.wait(BEAT_S):
            with contextlib.suppress(StoreError, OSError):  # It may go better at the next beat.
                if time.time() - self._last_beat_s > _LOST_S or not self._path.is_file():
                    return
                self._beat()

    def _beat(self) -> None:
        record = {"host": socket.gethostname(), "pid": os.getpid(), "place": _find_place(), "since": self._since}
        now_s = time.time()
        with write_atomically(self._path) as temporary:
            temporary.write_text(json.dumps(record))
        self._last_beat_s = now_s

    def _withdraw(self) -> None:
        _held.discard(self._path.name)
        with contextlib.suppress(StoreError):
            self._path.unlink(missing_ok=True)


def _read_claim(path: ObjectPath) -> dict[str, Any] | None:
    """Read who put a claim up; None where it is gone, or tells nothing."""
    try:
        record: dict[str, Any] = json.loads(path.read_text())
        return record if {"host", "pid", "place", "since"} <= record.keys() else None
    except (FileNotFoundError, ValueError, AttributeError):
        return None


def _is_dead(path: ObjectPath, record: dict[str, Any]) -> bool:
    """Tell whether the process that put a claim up is known to be no more: only of one that ran where we do."""
    if record["place"] is None or record["place"] != _find_place():
        return False
    if record["pid"] == os.getpid():
        return path.name not in _held
    try:
        os.kill(record["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _find_place() -> str | None:
    """Name this start of this machine, and the room of its process numbers; None where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None
