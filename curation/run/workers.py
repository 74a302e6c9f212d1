"""Where the work runs: in this process, on a Ray of our own, or on a cluster that runs. The only file that imports ray.

A stage is a function from a task to a small result. Tasks are handed out in the order given, a bounded number at a
time, and results come back in the order in which they are done. A task whose worker, or whose node, is lost is run
again; what kills the decoder never gets so far (`curation.run.sandbox`).
"""

import contextlib
import itertools
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

from curation.errors import ClusterError, WorkerLostError

Task = TypeVar("Task")
Result = TypeVar("Result")

_TASKS_AHEAD_PER_WORKER = 2
_COUNT_CORES_EVERY_S = 5.0
_NODE_TIMEOUT_S = 120.0
_KNOCK_TIMEOUT_S = 10.0
_STARTS = 4
_OBJECT_STORE_BYTES = 80 * 2**20
"""Ray's least. Only paths and counts pass through it."""
_RETRIES_OF_A_LOST_WORKER = 10
"""Clips cannot kill a worker, so it was something from outside, which may well come again."""
_RAY_SETTINGS = {
    "USAGE_STATS_ENABLED": "0",
    # By default a task whose worker ran out of memory is tried again for ever.
    "task_oom_retries": str(_RETRIES_OF_A_LOST_WORKER),
    "ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_OWN_RAY_SETTINGS = {
    # Its node asks for its own object store a moment too early, and by default again after a second, ten times.
    "raylet_client_connect_timeout_milliseconds": "50",
    "raylet_client_num_connect_attempts": "200",
    # The driver would wait until the first workers stand, for ever where one is killed before (ray-project/ray#40131).
    "prestart_worker_first_driver": "0",
}
"""Of a Ray of our own."""


class Workers(Protocol):
    """Something that runs tasks."""

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield `function(task)` for each task, in order of completion. What a task raises is raised here."""
        ...

    def warm_up(self, call: Callable[[], object]) -> None:
        """Have the workers import what they will need and make a call, while the driver goes on."""
        ...


class InProcess:
    """Run tasks one after another in this process, for debugging and for very small listings."""

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield `function(task)` for each task, in the order given."""
        return map(function, tasks)

    def warm_up(self, call: Callable[[], object]) -> None:
        """Do nothing: here nobody goes on meanwhile."""


class RayWorkers:
    """Run tasks on Ray, each on one core."""

    def __init__(self, ray: Any, gpus_per_task: float) -> None:
        self._ray = ray
        options = {"num_cpus": 1, "num_gpus": gpus_per_task, "max_retries": _RETRIES_OF_A_LOST_WORKER}
        self._call = ray.remote(**options)(_call)
        self._window = 0
        self._ask_again_s = 0.0
        self._first: Callable[[], None] | None = None

    def before_first_task(self, call: Callable[[], None]) -> None:
        """Have every worker process make a call before its first task from now on. What it raises the task raises."""
        self._first = call

    def warm_up(self, call: Callable[[], object]) -> None:
        """Have each core make a call, in a worker that is new if no other is there. Nothing waits for it."""
        for _ in range(self._count_cores()):
            self._call.remote(None, _call_alone, call)

    def _count_cores(self) -> int:
        return int(self._ray.cluster_resources().get("CPU", 1))

    def _count_window(self) -> int:
        """Tasks in flight at most. Asked now and then, as a cluster may grow and shrink."""
        if time.monotonic() >= self._ask_again_s:
            self._window = self._count_cores() * (1 + _TASKS_AHEAD_PER_WORKER)
            self._ask_again_s = time.monotonic() + _COUNT_CORES_EVERY_S
        return self._window

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield `function(task)` for each task, in order of completion, a bounded number in flight."""
        waiting = iter(tasks)
        running: list[Any] = []
        while True:
            room = self._count_window() - len(running)
            running += [
                self._call.remote(self._first, function, task) for task in itertools.islice(waiting, max(0, room))
            ]
            if not running:
                return
            done, running = self._ray.wait(running, num_returns=1)
            yield self._get(done[0], function.__name__)

    def on_every_node(self, function: Callable[[Task], Result], task: Task) -> list[tuple[str, Result]]:
        """Call `function(task)` once on each node; returns (address of the node, result). Raises ClusterError."""
        pin = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in self._ray.nodes() if node["Alive"]}
        asked = {}
        for node in nodes:
            call = self._call.options(num_cpus=0, num_gpus=0, scheduling_strategy=pin(node, soft=False))
            asked[node] = call.remote(None, function, task)
        found = []
        for node, name in nodes.items():
            try:
                found.append((name, self._ray.get(asked[node], timeout=_NODE_TIMEOUT_S)))
            except self._ray.exceptions.RayError as error:
                reason = str(error).strip().splitlines()[-1][:200]
                raise ClusterError(
                    f"node {name} cannot run pix2gif: {reason}; install the same version there as on this machine"
                ) from error
        return found

    def _get(self, reference: Any, name: str) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            # The task's own exception, as it would be raised without Ray.
            raise error.cause from error
        except self._ray.exceptions.LocalRayletDiedError as error:
            raise WorkerLostError(
                f"Ray's own process on this machine was killed during {name}, most likely for want of memory; what was "
                "finished is kept, and the same command goes on"
            ) from error
        except self._ray.exceptions.RayError as error:
            raise WorkerLostError(
                f"a worker died again and again in {name} ({type(error).__name__}): something on the machine kills it, "
                "most likely for want of memory; what was finished is kept, and the same command goes on"
            ) from error


def _call(first: Callable[[], None] | None, function: Callable[[Any], Any], task: Any) -> Any:
    _import_webdataset_without_torch()
    global _has_begun
    if first and not _has_begun:
        first()
        _has_begun = True
    return function(task)


def _call_alone(call: Callable[[], object]) -> None:
    call()  # What it returns need not be picklable.


_has_begun = False
"""In a worker: whether it is past what comes before its first task."""


def _import_webdataset_without_torch() -> None:
    """Import webdataset while torch is hidden: where it finds torch it imports it, a second of every worker's time.

    What writes shards needs none of it. The process is a worker of ours, where nobody uses the two together, and torch
    can be imported as ever afterwards.
    """
    if "webdataset" not in sys.modules and "torch" not in sys.modules:
        sys.modules["torch"] = None  # type: ignore[assignment]  # Makes an import raise ImportError.
        try:
            import webdataset  # noqa: F401
        finally:
            del sys.modules["torch"]


@contextlib.contextmanager
def start_workers(num_workers: int, gpus_per_task: float = 0, address: str | None = None) -> Iterator[Workers]:
    """Give workers for as long as the block lasts: none but this process for 0, else those of a Ray.

    With an address, that of a Ray cluster that runs, all its cores; without, a Ray of our own on this machine, and
    never one that happens to run here. A task that wants GPUs gets so many, or a share of one.
    Raises ClusterError where Ray does not start, or the cluster cannot be joined.
    """
    if num_workers == 0 and address is None:
        yield InProcess()
        return
    settings = _RAY_SETTINGS if address else _RAY_SETTINGS | _OWN_RAY_SETTINGS
    for name, value in settings.items():
        os.environ.setdefault(f"RAY_{name}", value)
    import ray
    import ray.util.scheduling_strategies

    own: dict[str, Any] = {
        "num_cpus": num_workers,
        "include_dashboard": False,
        "object_store_memory": _OBJECT_STORE_BYTES,
        **({} if gpus_per_task else {"num_gpus": 0}),
    }
    # Ray puts the driver's current folder first on the workers' import path, where a user's own shards/ or
    # training/ would be imported in our place; so it starts in a folder that is empty.
    with tempfile.TemporaryDirectory(prefix="pix2gif-") as empty:
        handler = signal.getsignal(signal.SIGTERM)
        try:
            with contextlib.chdir(empty):
                _connect(ray, address, {} if address else own)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)  # Ray's own handler would abort the process.
            yield RayWorkers(ray, gpus_per_task)
        finally:
            if not address:
                _kill_autoscaler()
            ray.shutdown()


def _kill_autoscaler() -> None:
    """End the autoscaler of a Ray of our own: told to end, it reports that for a second, to a server that is gone.

    On one machine it has nothing to do. Where it is not found, Ray ends as slowly as it does of itself.
    """
    with contextlib.suppress(OSError):
        for children in Path("/proc/self/task").glob("*/children"):
            for pid in children.read_text().split():
                if b"/autoscaler/_private/monitor.py\0" in Path("/proc", pid, "cmdline").read_bytes():
                    os.kill(int(pid), signal.SIGKILL)


def _connect(ray: Any, address: str | None, own: dict[str, Any]) -> None:
    """Start or join Ray; one of our own is tried again, as it gives up on a busy machine after half a minute."""
    if address:
        _knock(address)
    for starts_left in reversed(range(1 if address else _STARTS)):
        try:
            ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **own)
            return
        except Exception as error:
            # Ray raises plain exceptions here, of several types.
            ray.shutdown()
            if not starts_left:
                raise ClusterError(_why_not_connected(address, error)) from error


def _knock(address: str) -> None:
    """Raise ClusterError where nobody listens at HOST:PORT: Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        return  # `auto`, or an address of another kind.
    try:
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(_why_not_connected(address, error)) from error


def _why_not_connected(address: str | None, error: Exception) -> str:
    said = getattr(error, "strerror", None) or str(error)
    reason = (said.strip().splitlines() or [type(error).__name__])[0].removesuffix(".")
    if address is None:
        return (
            f"Ray does not start on this machine: {reason}; it may be too busy: try again, or work without Ray by "
            "--workers 0"
        )
    return (
        f"no Ray cluster can be joined at {address}: {reason}; `ray status --address {address}` must answer from this "
        "machine, with the same versions of Ray and Python and the same RAY_AUTH_MODE"
    )
