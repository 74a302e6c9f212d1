"""The inside of the sandbox: a process that decodes and measures what it is told, a call at a time.

It is single-threaded, has all code that a call needs loaded before, and ends with its parent.
"""

import ctypes
import faulthandler
import os
import resource
import signal
import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any

from curation.errors import CurationError

_PR_SET_PDEATHSIG = 1
_CV_NO_MEMORY = -4
READY, DONE, REFUSED, NO_MEMORY, RAISED = "ready", "done", "refused", "no memory", "raised"
"""What the child says: that it stands, or a function may be called; a result; what the user must act on; that it is
over the limit; any other exception."""


def serve(fd: int, parent: int) -> None:
    """Answer calls `(function, arguments, num_bytes)` that come through a socket, until it is closed.

    Before the first call of a function comes `(warm_up, None, 0)`: a function that loads or compiles what it needs.
    """
    _end_with(parent)
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)  # Meant for the whole group; the parent decides what becomes of us.
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)  # So that a parent can ask where we hang, native code or not.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import cv2

    cv2.setNumThreads(1)  # OpenCV ignores OMP_NUM_THREADS, and each thread takes address space from the limit.
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


def _answer(function: Any, arguments: tuple[Any, ...], num_bytes: int) -> tuple[str, Any]:
    _limit_memory(num_bytes)
    try:
        return DONE, function(*arguments)
    except CurationError as error:
        return REFUSED, error
    except MemoryError:
        traceback.print_exc()
        return NO_MEMORY, None
    except Exception as error:
        traceback.print_exc()
        if getattr(error, "code", None) == _CV_NO_MEMORY:  # As cv2.error has it.
            return NO_MEMORY, None
        return RAISED, f"{type(error).__name__}: {error}"[:200]
    finally:
        _limit_memory(None)
        sys.stderr.flush()


def _limit_memory(num_bytes: int | None) -> None:
    """Allow `num_bytes` of address space beyond what is in use now, or any number. Linux alone can do so."""
    if sys.platform != "linux":
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    soft = hard
    if num_bytes is not None:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 # A fifth of the time of Path.read_bytes.
            in_use = int(file.read().split()[0]) * resource.getpagesize()
        soft = in_use + num_bytes if hard == resource.RLIM_INFINITY else min(in_use + num_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, however busy it is. Elsewhere the closed socket does."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # It died before it could be noticed.
