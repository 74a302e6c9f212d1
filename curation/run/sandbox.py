"""Calls that may not come back -> a result, or why there is none: each runs in a child process under limits.

A process has one such child, which lives on from call to call, so a healthy clip pays a message each way. What the
limits break, or the call itself, is a `Failure`; a child that was lost or broken is replaced. A child that dies is not
yet the clip's fault: something from outside may have killed it, or an earlier clip may have left it broken. So the
call is made once more, alone in a new child, and what happens there counts; but for a kill, which comes from outside
however often it comes, and is believed to be the clip's fault the fourth time.
"""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing import Pipe
from typing import Any, TypeVar

from curation.config import CurationConfig
from curation.errors import SandboxError
from curation.run import sandbox_child
from shards.schema import Verdict

Result = TypeVar("Result")

_START_TIMEOUT_S = 300.0
"""The first one on a machine compiles the kernel, perhaps among many that do."""
_STARTS = 4
"""Of a child that is killed before it stands, in a row."""
_TRIES = 4
"""Of a call whose child is killed from outside, in a row."""
_LAST_WORDS_BYTES = 20_000
_DUMP_S = 0.2
_GIB = 2**30
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from curation.run.sandbox_child import serve; serve(int(sys.argv[2]), int(sys.argv[3]))"
)
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""A worker is one core; and each thread more would take address space from a clip."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What one call may take."""

    timeout_s: float
    memory_gib: float
    """Address space beyond what the child has in use before the call."""

    def __str__(self) -> str:
        """Name them, so that a failure found under other limits is known for one."""
        return f"{self.timeout_s:g} s, {self.memory_gib:g} GiB"


def limits_of(config: CurationConfig) -> Limits:
    """Give the sandbox's limits for one clip."""
    return Limits(timeout_s=config.clip_timeout, memory_gib=config.clip_memory)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failure:
    """A call that gave no result."""

    verdict: Verdict
    """CRASHED or TIMED_OUT."""
    detail: str
    """The reason in words, the same each time."""
    error: str
    """What the child said last: tracebacks, as far as it got to write them."""


class _KilledAtStartError(SandboxError):
    """The child was killed before it stood, so by something from outside."""


class _Child:
    """One child process."""

    def __init__(self) -> None:
        self.num_calls = 0
        self.owner = os.getpid()
        self._said = tempfile.TemporaryFile("a+b")  # noqa: SIM115 # It lives as long as the child.
        self._connection, theirs = Pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 # Our own interpreter and our own code.
                [sys.executable, "-P", "-c", _BOOT, json.dumps(sys.path), str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                env={**os.environ, **_ONE_THREAD},
            )
        finally:
            theirs.close()
        self._is_standing = False
        self._warm: set[Callable[..., Any]] = set()

    def call(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        limits: Limits,
        warm_up: Callable[[], object] | None,
    ) -> Any:
        """Make one call; return its result, or a Failure. Raises the CurationError that it raises."""
        self._get_ready(warm_up)
        self.num_calls += 1
        self._said.truncate(0)
        try:
            self._connection.send((function, arguments, int(limits.memory_gib * _GIB)))
            if not self._connection.poll(limits.timeout_s):
                return self._stop_late(limits)
            kind, value = self._connection.recv()
        except (EOFError, ConnectionError):
            return self._describe_death()
        except BaseException:
            self.kill()  # Interrupted: its answer would come to the next call.
            raise
        if kind == sandbox_child.REFUSED:
            raise value
        if kind == sandbox_child.DONE:
            return value
        detail = f"over {limits.memory_gib:g} GiB of memory" if kind == sandbox_child.NO_MEMORY else value
        if kind == sandbox_child.NO_MEMORY:
            self.kill()
        return Failure(verdict=Verdict.CRASHED, detail=detail, error=self._last_words())

    @property
    def is_alive(self) -> bool:
        """Whether it can be called."""
        return self._process.poll() is None and not self._connection.closed

    def kill(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        self._connection.close()

    def _get_ready(self, warm_up: Callable[[], object] | None) -> None:
        """Wait until the child has started and made the warm-up call."""
        if not self._is_standing:
            self._wait()
            self._is_standing = True
        if warm_up and warm_up not in self._warm:
            with contextlib.suppress(ConnectionError):  # The child is dead, as _wait will notice.
                self._connection.send((warm_up, None, 0))
            self._wait()
            self._warm.add(warm_up)

    def _wait(self) -> None:
        try:
            if self._connection.poll(_START_TIMEOUT_S):
                self._connection.recv()
                return
            reason = f"not ready after {_START_TIMEOUT_S:g} s"
        except (EOFError, ConnectionError):
            reason = _name_exit(self._process.wait())
        except BaseException:
            self.kill()  # Interrupted: its word would be taken for the answer to the next call.
            raise
        self.kill()
        if reason == _name_exit(-signal.SIGKILL):
            raise _KilledAtStartError(
                "the process that decodes GIFs is killed again and again before it has started, most likely for want "
                "of memory; what was finished is kept, and the same command goes on"
            )
        last = (self._last_words().strip().splitlines() or ["it said nothing"])[-1]
        raise SandboxError(
            f"the process that decodes GIFs did not start ({reason}): {last}; is the installation whole?"
        )

    def _stop_late(self, limits: Limits) -> Failure:
        self._process.send_signal(signal.SIGUSR1)  # It writes where it is.
        time.sleep(_DUMP_S)
        self.kill()
        return Failure(verdict=Verdict.TIMED_OUT, detail=f"over {limits.timeout_s:g} s", error=self._last_words())

    def _describe_death(self) -> Failure:
        detail = _name_exit(self._process.wait())
        self.kill()
        return Failure(verdict=Verdict.CRASHED, detail=detail, error=self._last_words())

    def _last_words(self) -> str:
        end = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, end - _LAST_WORDS_BYTES))
        return self._said.read().decode("utf-8", "replace")


_child: _Child | None = None
_lock = threading.Lock()


def _get_child() -> _Child:
    """Return this process's child; start one if there is none that can be called."""
    global _child
    if _child is None or _child.owner != os.getpid() or not _child.is_alive:
        _child = _Child()
    return _child


def isolate(
    limits: Limits, function: Callable[..., Result], *arguments: Any, warm_up: Callable[[], object] | None = None
) -> Result | Failure:
    """Call a module-level function in this process's child, under limits.

    `warm_up`, also a module-level function, is called first in each new child, outside the limits: it imports and
    compiles what the function needs, which no clip's timeout should pay for.


    Raises what the function raises of CurationError; any other exception of it is a Failure. Raises SandboxError
    where no child can be started.
    """
    with _lock:
        outcome: Result | Failure
        for _ in range(_TRIES):
            outcome, is_final = _call_once(limits, function, arguments, warm_up)
            if is_final:
                break
        return outcome


def _call_once(
    limits: Limits,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    warm_up: Callable[[], object] | None,
) -> tuple[Any, bool]:
    """Return the outcome, and whether it counts."""
    for starts_left in reversed(range(_STARTS)):
        child = _get_child()
        try:
            outcome = child.call(function, arguments, limits, warm_up)
            break
        except SandboxError as error:
            # One that has served may have been left broken by an earlier clip; what a new one cannot do, none can.
            if not starts_left or not (child.num_calls or isinstance(error, _KilledAtStartError)):
                raise
    if not isinstance(outcome, Failure) or outcome.verdict is Verdict.TIMED_OUT or child.is_alive:
        return outcome, True
    # Nothing kills itself by SIGKILL: the kernel was out of memory, or somebody did it.
    from_outside = outcome.detail == _name_exit(-signal.SIGKILL)
    return outcome, child.num_calls == 1 and not from_outside


def _name_exit(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
