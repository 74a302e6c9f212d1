"""What is done while the driver waits for Ray, which takes seconds to start and leaves the machine's cores idle.

In a process of its own and not in a thread: Ray starts its processes by forking the driver and running Python before it
replaces the program (`preexec_fn`), which may block for ever where the driver has other threads.
"""

import contextlib
import dataclasses
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from curation.run.meanwhile import serve; serve(int(sys.argv[2]))"
)


MOST_CHORES = 100
"""Worth offering by one stage: more than there is time for."""
_PATIENCE_S = 10.0
"""For the chore that is under way when the block ends."""
_LEAST_PRIORITY = 19


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chore:
    """A call that would be a worker's otherwise."""

    function: Callable[[Any], Any]
    """At the top of a module, as of a worker."""
    task: Any
    enter: Callable[[Any], None]
    """Takes the result, in the driver. Not called for what was not done, which is left to the workers."""


@contextlib.contextmanager
def doing_meanwhile(chores: Sequence[Chore]) -> Iterator[None]:
    """Do chores, in order and as many as there is time for, while the block waits for something.

    The one begun last is brought to its end after the block, then results are entered. A chore that fails is left with
    all after it, as if there had been no time: the worker that does it tells why.
    """
    if not chores:
        yield
        return
    with tempfile.TemporaryFile() as calls:
        pickle.dump([(chore.function, chore.task) for chore in chores], calls)
        calls.seek(0)
        ours, theirs = Pipe()
        command = [sys.executable, "-P", "-c", _BOOT, json.dumps(sys.path), str(theirs.fileno())]
        with ours, theirs:
            helper = subprocess.Popen(  # noqa: S603 # Our own interpreter and our own code.
                command, pass_fds=[theirs.fileno()], stdin=calls, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            theirs.close()
            try:
                yield
                results = _ask(ours)
            finally:
                helper.kill()
                helper.wait()
    for chore, result in zip(chores, results, strict=False):
        chore.enter(result)


def _ask(helper: Connection) -> list[Any]:
    """Have the helper stop; returns the results of what it has done: none where it is dead or hangs."""
    try:
        helper.send(None)
        return list(helper.recv()) if helper.poll(_PATIENCE_S) else []
    except (EOFError, ConnectionError):
        return []


def serve(fd: int) -> None:
    """Do the calls that standard input holds until the other side asks for results, or is gone."""
    # Idle cores are all it is to have: Ray looks once a second whether its own processes stand.
    os.nice(_LEAST_PRIORITY)
    connection = Connection(fd)
    results = []
    with contextlib.suppress(Exception):
        for function, task in pickle.load(sys.stdin.buffer):  # noqa: S301 # Our own driver's.
            if connection.poll():
                break
            results.append(function(task))
    connection.recv()
    connection.send(results)
