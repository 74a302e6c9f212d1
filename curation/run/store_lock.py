"""Lock for an OUT in an object store: write a lock object, list the folder, back off if another run's is there.

Object stores list an object as soon as it is written, so of two runs the later one always sees the earlier one. This
needs no conditional write, which Arrow's clients do not offer. A running process rewrites its lock object as a
heartbeat; a lock without a recent heartbeat is stale and may be removed.
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
from shards.errors import StoreError
from shards.storage.atomic import write_atomically
from shards.storage.location import Location, ObjectPath

HEARTBEAT_S = 20.0
STALE_S = 120.0
"""Age of the last heartbeat, by the store's clock, from which another run may remove the lock."""
LOST_S = 90.0
"""Age of the last heartbeat from which a run no longer relies on its own lock; less than STALE_S."""
_held_locks: set[str] = set()
"""Names of the lock objects of this process."""


class StoreLock:
    """The lock object of one run."""

    def __init__(self, out: Location, folder: ObjectPath) -> None:
        self._out = out
        self._path = folder / f"{uuid.uuid4().hex}.json"
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._last_heartbeat_s = 0.0
        self._is_released = threading.Event()

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lock while the block runs. Raises OutputError if another run has it, or if it cannot be written."""
        thread = threading.Thread(target=self._send_heartbeats, daemon=True)
        try:
            self._acquire()
            thread.start()
            yield
        finally:
            self._is_released.set()
            if thread.is_alive():
                thread.join(HEARTBEAT_S)  # The thread may be waiting for a store that does not answer.
            self._release()

    def check(self) -> None:
        """Raise OutputError if the lock is lost."""
        if self._is_lost():
            raise OutputError(
                f"the lock on {self._out} is lost: the store received no heartbeat for {LOST_S:.0f} s, or another run "
                "removed the lock; finished work is kept: run the same command again"
            )

    def _is_lost(self) -> bool:
        return time.time() - self._last_heartbeat_s > LOST_S or not self._path.is_file()

    def _acquire(self) -> None:
        try:
            _held_locks.add(self._path.name)
            self._write()
            self._check_other_locks()
        except StoreError as error:
            reason = str(error).removeprefix(f"{self._path}: ")
            raise OutputError(f"cannot write to --out {self._out}: {reason}") from error

    def _release(self) -> None:
        _held_locks.discard(self._path.name)
        with contextlib.suppress(StoreError):
            self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        record = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "machine": _identify_machine(),
            "since": self._since,
        }
        now_s = time.time()
        with write_atomically(self._path) as temporary:
            temporary.write_text(json.dumps(record))
        self._last_heartbeat_s = now_s

    def _send_heartbeats(self) -> None:
        while not self._is_released.wait(HEARTBEAT_S):
            with contextlib.suppress(StoreError, OSError):  # The next heartbeat may succeed.
                if self._is_lost():
                    return
                self._write()

    def _check_other_locks(self) -> None:
        """Remove the locks of runs that have ended. Raises OutputError if another run holds a lock."""
        infos = dict(self._path.parent.scan())
        own = infos.pop(self._path, None)
        if own is None:
            raise StoreError(f"{self._path}: was written, but the store does not list it")
        for path, info in infos.items():
            age_s = (own.mtime_ns - info.mtime_ns) / 1e9
            record = _read_lock(path)
            if age_s > STALE_S or record is None or _has_ended(path, record):
                path.unlink(missing_ok=True)
                continue
            raise OutputError(
                f"another run is writing to {self._out}: process {record['pid']} on {record['host']}, since "
                f"{record['since']}, last heartbeat {max(0.0, age_s):.0f} s ago; wait for it, or choose another --out; "
                f"if it was killed, its lock expires {STALE_S:.0f} s after its last heartbeat"
            )


def _read_lock(path: ObjectPath) -> dict[str, Any] | None:
    """Return the record of a lock; None if it is gone or damaged."""
    try:
        record: dict[str, Any] = json.loads(path.read_text())
        return record if {"host", "pid", "machine", "since"} <= record.keys() else None
    except (FileNotFoundError, ValueError, AttributeError):
        return None


def _has_ended(path: ObjectPath, record: dict[str, Any]) -> bool:
    """Return whether the process of a lock is known to have ended; False if it ran on another machine."""
    if record["machine"] is None or record["machine"] != _identify_machine():
        return False
    if record["pid"] == os.getpid():
        return path.name not in _held_locks
    try:
        os.kill(record["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _identify_machine() -> str | None:
    """Return an id of this boot of this machine and of its process namespace; None if the system has none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None
