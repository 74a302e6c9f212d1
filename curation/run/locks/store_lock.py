"""Lock for an OUT in an object store: write a lock object, list the folder, back off if another run's is there.

Object stores list an object as soon as it is written, so of two runs the later one always sees the earlier one. This
needs no conditional write, which Arrow's clients do not offer. Of two runs that start at the same moment, each may see
the other: both withdraw and try again after a random pause.

A running process rewrites its lock object as a heartbeat; a lock without a recent heartbeat is stale and may be
removed. A process may be paused at any point, even within a heartbeat. So a heartbeat counts only if it was written
within LOST_S of the one before, and a lock that is lost stays lost.
"""

import contextlib
import json
import os
import random
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
from shards.json_fields import load_json
from shards.storage.atomic import write_atomically
from shards.storage.location import Location, ObjectPath

HEARTBEAT_S = 20.0
STALE_S = 120.0
"""Age of the last heartbeat, by the store's clock, from which another run may remove the lock."""
LOST_S = 90.0
"""Age of the last heartbeat from which a run no longer relies on its own lock; less than STALE_S."""
_ATTEMPTS = 6
_FIRST_PAUSE_S = 0.5
"""Longest pause before a second attempt to acquire the lock; it doubles after each one."""
_held_locks: set[str] = set()
"""Names of the lock objects of this process."""


class StoreLock:
    """The lock object of one run."""

    def __init__(self, out: Location, folder: ObjectPath) -> None:
        self._out = out
        self._folder = folder
        self._path = folder / "none"
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._is_acquired = self._is_lost = False
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

    @property
    def is_current(self) -> bool:
        """Whether the last heartbeat is so recent that no other run may have removed the lock."""
        return self._is_acquired and not self._is_lost and _read_clock_s() - self._last_heartbeat_s <= LOST_S

    def check(self) -> None:
        """Raise OutputError if the lock is lost."""
        if not (self.is_current and self._path.is_file()):
            raise OutputError(
                f"the lock on {self._out} is lost: the store received no heartbeat for {LOST_S:.0f} s, or another run "
                "removed the lock; finished work is kept: run the same command again"
            )

    def _acquire(self) -> None:
        holder: dict[str, Any] = {}
        try:
            for attempt in range(_ATTEMPTS):
                # A new name each time: another run may be about to remove the one before as stale.
                self._path = self._folder / f"{uuid.uuid4().hex}.json"
                _held_locks.add(self._path.name)
                self._write()
                other = self._find_other_lock()
                if other is None:
                    self._is_acquired = True
                    self._write()
                    return self.check()
                holder = other
                if holder["is_acquired"]:
                    break
                self._release()
                time.sleep(random.random() * _FIRST_PAUSE_S * 2**attempt)  # noqa: S311 # Not for cryptography.
        except StoreError as error:
            reason = str(error).removeprefix(f"{self._path}: ")
            raise OutputError(f"cannot write to --out {self._out}: {reason}") from error
        raise OutputError(
            f"another run is writing to {self._out}: process {holder['pid']} on {holder['host']}, since "
            f"{holder['since']}, last heartbeat {holder['age_s']:.0f} s ago; wait for it, or choose another --out; "
            f"if it was killed, its lock expires {STALE_S:.0f} s after its last heartbeat"
        )

    def _release(self) -> None:
        _held_locks.discard(self._path.name)
        with contextlib.suppress(StoreError):
            self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        record = {**describe_process(), "since": self._since, "is_acquired": self._is_acquired}
        start_s = _read_clock_s()
        with write_atomically(self._path) as temporary:
            temporary.write_text(json.dumps(record))
        if self._is_acquired and _read_clock_s() - self._last_heartbeat_s > LOST_S:
            self._is_lost = True  # Another run may have removed the lock before this write.
        self._last_heartbeat_s = start_s

    def _send_heartbeats(self) -> None:
        while not self._is_released.wait(HEARTBEAT_S):
            with contextlib.suppress(StoreError, OSError):  # The next heartbeat may succeed.
                if not (self.is_current and self._path.is_file()):
                    self._is_lost = True
                    return
                self._write()
                if self._is_lost or self._is_released.is_set():
                    self._path.unlink(missing_ok=True)

    def _find_other_lock(self) -> dict[str, Any] | None:
        """Remove the locks of runs that have ended; return the record of another run's lock, with its age in seconds.

        Returns None if there is no other lock.
        """
        infos = dict(self._folder.scan())
        own = infos.pop(self._path, None)
        if own is None:
            raise StoreError(f"{self._path}: was written, but the store does not list it")
        for path, info in infos.items():
            age_s = (own.mtime_ns - info.mtime_ns) / 1e9
            record = _read_lock(path)
            if age_s > STALE_S or record is None or _is_left_over(path, record):
                path.unlink(missing_ok=True)
                continue
            return {"is_acquired": True, **record, "age_s": max(0.0, age_s)}
        return None


def _read_lock(path: ObjectPath) -> dict[str, Any] | None:
    """Return the record of a lock; None if it is gone or damaged."""
    try:
        record: dict[str, Any] = load_json(path.read_text())
        return record if {"host", "pid", "machine", "since"} <= record.keys() else None
    except (FileNotFoundError, ValueError, AttributeError):
        return None


def _is_left_over(path: ObjectPath, record: dict[str, Any]) -> bool:
    """Return whether the run of a lock is known to have ended; False if it ran on another machine."""
    if record["pid"] == os.getpid() and record["machine"] == _identify_machine() is not None:
        return path.name not in _held_locks
    return has_ended(record) is True


def describe_process() -> dict[str, Any]:
    """Return host, process id and machine of this process, for another process to find whether it has ended."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "machine": _identify_machine()}


def has_ended(process: dict[str, Any]) -> bool | None:
    """Return whether a process has ended; None if that cannot be found out, because it ran on another machine."""
    if process["machine"] is None or process["machine"] != _identify_machine():
        return None
    try:
        os.kill(process["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return _is_zombie(process["pid"])


def _is_zombie(pid: int) -> bool:
    """Return whether a process has ended, but its parent has not asked for its status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "ZX"
    except (OSError, IndexError):
        return False


def _identify_machine() -> str | None:
    """Return an id of this boot of this machine and of its process namespace; None if the system has none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _read_clock_s() -> float:
    """Return seconds since the machine started: no one sets this clock, and on Linux it counts suspended time."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
