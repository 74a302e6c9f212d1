"""Call a function in a child process with a timeout and a memory limit; return its result or a `Failure`.

Each process has one child, which serves many calls, so a healthy clip costs one message each way. A child that dies
or exceeds a limit is replaced.

A dead child is not proof against its clip: an earlier clip may have damaged the child, or something outside may have
killed it. So the call is retried in a new child, and the result of a new child is final. SIGKILL is the exception: it
comes from outside, so the clip is blamed only after `_ATTEMPTS` kills in a row.

A timeout counts the processor time of a child that computes, and the elapsed time of a child that waits. So a paused
run and a busy machine lose no clip.
"""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, Self, TypeVar

from curation.config import CurationConfig
from curation.errors import SandboxError
from curation.run import sandbox_child
from shards.schema import Verdict

Result = TypeVar("Result")

_START_TIMEOUT_S = 300.0
"""The first child on a machine compiles the kernel, and the others wait for it."""
_ATTEMPTS = 4
"""Starts in a row, and calls, that SIGKILL may end before the call fails."""
_MAX_OUTPUT_BYTES = 20_000
_TICK_S = 1.0
"""How often the use of a timeout is counted."""
_COMPUTING = ("R", "T", "t")
"""States of a process, in /proc, that computes: running or runnable, stopped by a signal, stopped by a debugger."""
_TRACEBACK_S = 0.2
"""Time for a child to write its traceback."""
_GIB = 2**30
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""A worker has one core, and the stack of every further thread counts against the memory limit."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one call."""

    timeout_s: float
    memory_gib: float
    """Address space in addition to what the child uses before the call."""

    @classmethod
    def from_config(cls, config: CurationConfig) -> Self:
        """Return the limits for one clip."""
        return cls(timeout_s=config.clip_timeout, memory_gib=config.clip_memory)

    def __str__(self) -> str:
        """Format the limits for the flow table: a failure under other limits is not reused."""
        return f"{self.timeout_s:g} s, {self.memory_gib:g} GiB"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failure:
    """A call without a result."""

    verdict: Verdict
    """CRASHED or TIMED_OUT."""
    detail: str
    """The reason, the same in every run."""
    error: str
    """The last output of the child, with its traceback."""


class _KilledAtStartError(SandboxError):
    """SIGKILL ended the child before it was ready."""


class _Child:
    """One child process."""

    def __init__(self) -> None:
        self.num_calls = 0
        self.owner = os.getpid()
        self._output = tempfile.TemporaryFile("a+b")  # noqa: SIM115 # Open as long as the child lives.
        self._connection, child_end = Pipe()
        with child_end:
            fd = child_end.fileno()
            self._process = subprocess.Popen(  # noqa: S603 # Our own interpreter and module.
                [sys.executable, "-P", "-m", sandbox_child.__name__, str(fd), str(os.getpid())],
                pass_fds=[fd],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                env={**os.environ, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        self._is_ready = False
        self._warmed_up: set[Callable[..., Any]] = set()

    @property
    def is_alive(self) -> bool:
        """Whether the child can be called."""
        return self._process.poll() is None and not self._connection.closed

    def prepare(self, warm_up: Callable[[], object] | None) -> None:
        """Wait until the child has started and has called `warm_up` once. Raises SandboxError."""
        if not self._is_ready:
            self._wait_until_ready()
            self._is_ready = True
        if warm_up and warm_up not in self._warmed_up:
            with contextlib.suppress(ConnectionError):  # A dead child is reported by the wait.
                self._connection.send((warm_up, None, 0))
            self._wait_until_ready()
            self._warmed_up.add(warm_up)

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...], limits: Limits) -> Any:
        """Call a function; return its result or a Failure. Raises the function's CurationError."""
        self.num_calls += 1
        self._output.truncate(0)
        try:
            self._connection.send((function, arguments, int(limits.memory_gib * _GIB)))
            if not self._wait_for_answer(limits.timeout_s):
                return self._stop_after_timeout(limits)
            kind, value = self._connection.recv()
        except (EOFError, ConnectionError):
            return self._fail(self._wait_for_exit())
        except BaseException:
            self.kill()  # Interrupted. Otherwise the next call would receive the answer to this one.
            raise
        if kind == sandbox_child.RESULT:
            return value
        if kind == sandbox_child.CURATION_ERROR:
            raise value
        if kind == sandbox_child.NO_MEMORY:
            self.kill()
            return self._fail(f"over {limits.memory_gib:g} GiB of memory")
        return self._fail(value)

    def kill(self) -> None:
        """Kill the child and wait for its end."""
        self._process.kill()
        self._process.wait()
        self._connection.close()

    def _wait_until_ready(self) -> None:
        try:
            if self._wait_for_answer(_START_TIMEOUT_S):
                self._connection.recv()
                return
            reason = f"not ready after {_START_TIMEOUT_S:g} s"
        except (EOFError, ConnectionError):
            reason = self._wait_for_exit()
        except BaseException:
            self.kill()
            raise
        self.kill()
        if reason == _KILLED:
            raise _KilledAtStartError(
                "the process that decodes GIFs was killed several times while it started, probably because memory ran "
                "out; finished work is kept: free some memory and run the same command again"
            )
        last_line = (self._read_output().strip().splitlines() or ["no output"])[-1]
        raise SandboxError(
            f"the process that decodes GIFs does not start ({reason}): {last_line}; check the installation of pix2gif"
        )

    def _wait_for_answer(self, timeout_s: float) -> bool:
        """Return whether the child answers before it has used `timeout_s`: computing, or waiting for something."""
        tick_s = min(_TICK_S, timeout_s / 4)
        used_s = 0.0
        _, processor_s = self._read_state()
        while used_s < timeout_s:
            if self._connection.poll(tick_s):
                return True
            before_s = processor_s
            state, processor_s = self._read_state()
            used_s += min(tick_s, processor_s - before_s) if state in _COMPUTING else tick_s
        return False

    def _read_state(self) -> tuple[str, float]:
        """Return the child's state and its processor time in seconds; an empty state where there is no /proc."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        except OSError:
            return "", 0.0
        return fields[0], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _stop_after_timeout(self, limits: Limits) -> Failure:
        self._process.send_signal(signal.SIGUSR1)  # The child writes its traceback.
        time.sleep(_TRACEBACK_S)
        self.kill()
        return self._fail(f"over {limits.timeout_s:g} s", Verdict.TIMED_OUT)

    def _wait_for_exit(self) -> str:
        detail = _name_exit(self._process.wait())
        self.kill()
        return detail

    def _fail(self, detail: str, verdict: Verdict = Verdict.CRASHED) -> Failure:
        return Failure(verdict=verdict, detail=detail, error=self._read_output())

    def _read_output(self) -> str:
        end = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, end - _MAX_OUTPUT_BYTES))
        return self._output.read().decode("utf-8", "replace")


def _name_exit(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


_KILLED = _name_exit(-signal.SIGKILL)
_child: _Child | None = None
_lock = threading.Lock()


def isolate(
    limits: Limits, function: Callable[..., Result], *arguments: Any, warm_up: Callable[[], object] | None = None
) -> Result | Failure:
    """Call a module-level function in this process's child, under limits.

    `warm_up` is a module-level function that each new child calls first, outside the limits: it imports and compiles
    what the function needs.

    Raises the function's CurationError; any other exception becomes a Failure. Raises SandboxError if no child starts.
    """
    with _lock:
        starts_left = calls_left = _ATTEMPTS
        while True:
            child = _get_child()
            try:
                child.prepare(warm_up)
            except SandboxError as error:
                starts_left -= 1
                is_final = child.num_calls == 0 and not isinstance(error, _KilledAtStartError)
                if is_final or not starts_left:
                    raise
                continue
            starts_left = _ATTEMPTS
            calls_left -= 1
            outcome: Result | Failure = child.call(function, arguments, limits)
            if not isinstance(outcome, Failure) or outcome.verdict is Verdict.TIMED_OUT or child.is_alive:
                return outcome
            is_final = child.num_calls == 1 and outcome.detail != _KILLED
            if is_final or not calls_left:
                return outcome


def _get_child() -> _Child:
    """Return this process's child; start one if there is none, or if it is dead."""
    global _child
    if _child is None or _child.owner != os.getpid() or not _child.is_alive:
        _child = _Child()
    return _child
