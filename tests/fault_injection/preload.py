"""The preloaded library that counts, fails and kills: compile it, start again with it, arm it."""

import ctypes
import dataclasses
import enum
import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_SOURCE = Path(__file__).with_name("faults.c")
_VARIABLE = "PIX2GIF_FAULTS"
COMPILER = shutil.which("cc")


class Fault(enum.IntEnum):
    """What happens at an operation: an errno, a value that faults.c knows, or what store.py knows."""

    ENOSPC = errno.ENOSPC
    EIO = errno.EIO
    EACCES = errno.EACCES
    TORN = 1000
    KILL = 1001
    KILL_TORN = 1002
    REFUSED = 1003
    UNREACHABLE = 1004
    ANSWER_LOST = 1005


_FAULTS = {
    "create": (Fault.ENOSPC, Fault.EIO, Fault.EACCES, Fault.KILL),
    "open": (Fault.EIO, Fault.EACCES, Fault.KILL),
    "read": (Fault.EIO, Fault.KILL),
    "write": (Fault.ENOSPC, Fault.EIO, Fault.TORN, Fault.KILL, Fault.KILL_TORN),
    "fsync": (Fault.ENOSPC, Fault.EIO, Fault.KILL),
    "truncate": (Fault.EIO, Fault.KILL),
    "rename": (Fault.ENOSPC, Fault.EIO, Fault.EACCES, Fault.KILL),
    "link": (Fault.ENOSPC, Fault.EIO, Fault.EACCES, Fault.KILL),
    "mkdir": (Fault.ENOSPC, Fault.EIO, Fault.EACCES, Fault.KILL),
    "unlink": (Fault.EIO, Fault.EACCES, Fault.KILL),
    "list": (Fault.EIO, Fault.EACCES, Fault.KILL),
    "stat": (Fault.EIO, Fault.EACCES, Fault.KILL),
    "chmod": (Fault.EIO, Fault.EACCES, Fault.KILL),
    "request": (Fault.REFUSED, Fault.UNREACHABLE, Fault.ANSWER_LOST, Fault.KILL),
}


@dataclasses.dataclass(frozen=True)
class Operation:
    """A file operation of a run."""

    number: int
    name: str
    path: str

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that the system may answer with, and death before it and in the middle of it.

        Death after an operation is death before the next one.
        """
        return _FAULTS[self.name]


def start_again_with_library() -> None:
    """Replace this process by one that has the library loaded, unless it has. Raises OSError without a compiler."""
    if library := os.environ.pop(_VARIABLE, None):
        del os.environ["LD_PRELOAD"]  # It is loaded, and the forked processes keep it.
        shutil.rmtree(Path(library).parent)
        return
    if COMPILER is None:
        raise FileNotFoundError("there is no C compiler (cc)")
    library = str(Path(tempfile.mkdtemp(prefix="pix2gif-faults-"), "faults.so"))
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-w", _SOURCE, "-o", library, "-ldl"], check=True)
    os.environ |= {"LD_PRELOAD": library, _VARIABLE: library}
    os.execv(sys.executable, [sys.executable, "-m", "tests.fault_injection", *sys.argv[1:]])  # noqa: S606 # Our own interpreter.


def arm(folder: str, number: int, fault: Fault | None, log: int = -1) -> None:
    """Count this process's operations below a folder from 1; let operation `number` have the fault."""
    ctypes.CDLL(None).fault_arm(folder.encode(), ctypes.c_long(number), fault or 0, log)


def parse_log(text: str) -> list[Operation]:
    """Return the operations that the library wrote into a log."""
    lines = (line.split("\t") for line in text.splitlines())
    return [Operation(number, name, path) for number, (name, path) in enumerate(lines, 1)]
