"""The child process of the sandbox: receive calls over a socket, run them one at a time, send the answers back.

`python -m curation.run.sandbox_child FD PARENT_PID`. It is single-threaded, and it ends with its parent.
"""

import ctypes
import faulthandler
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from curation.errors import CurationError

_PR_SET_PDEATHSIG = 1
_CV_NO_MEMORY = -4
"""`code` of a cv2.error that reports a failed allocation."""

READY, RESULT, CURATION_ERROR, NO_MEMORY, EXCEPTION = "ready", "result", "curation error", "no memory", "exception"
"""Kinds of answers `(kind, value)`. READY follows the start and each warm-up."""


def serve(fd: int, parent_pid: int) -> None:
    """Answer calls `(function, arguments, num_bytes)` from the socket `fd` until it is closed.

    `(warm_up, None, 0)` calls a warm-up function without limits.
    """
    _die_with_parent(parent_pid)
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)  # A terminal sends these to the whole process group; the parent decides.
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)  # Writes the traceback, even while native code runs.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import cv2

    cv2.setNumThreads(1)  # OpenCV ignores OMP_NUM_THREADS.
    connection = Connection(fd)
    connection.send((READY, None))
    while True:
        try:
            function, arguments, num_bytes = connection.recv()
        except EOFError:
            return
        if arguments is None:
            function()
            connection.send((READY, None))
            continue
        connection.send(_answer(function, arguments, num_bytes))


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...], num_bytes: int) -> tuple[str, Any]:
    _limit_memory(num_bytes)
    try:
        return RESULT, function(*arguments)
    except CurationError as error:
        return CURATION_ERROR, error
    except Exception as error:
        traceback.print_exc()
        if isinstance(error, MemoryError) or getattr(error, "code", None) == _CV_NO_MEMORY:
            return NO_MEMORY, None
        return EXCEPTION, f"{type(error).__name__}: {error}"[:200]
    finally:
        _limit_memory(None)
        sys.stderr.flush()


def _limit_memory(num_bytes: int | None) -> None:
    """Limit address space to `num_bytes` more than is in use now; None removes the limit. Works on Linux only."""
    if sys.platform != "linux":
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    soft = hard
    if num_bytes is not None:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 # A fifth of the time of Path.read_bytes.
            in_use = int(file.read().split()[0]) * resource.getpagesize()
        soft = in_use + num_bytes if hard == resource.RLIM_INFINITY else min(in_use + num_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent dies. Elsewhere than on Linux the closed socket ends it."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)  # The parent died before the call above.


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
