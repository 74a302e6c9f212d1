"""Worker pools: in-process, a local Ray instance, or an existing Ray cluster. The only module that imports ray.

A stage is a function from a task to a small result. Tasks start in the order given, a bounded number at a time; results
arrive in order of completion. Ray runs a task again when its worker or node is lost. A clip that crashes the decoder
does not get that far (`curation.run.sandbox`).
"""

import contextlib
import itertools
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from curation.errors import ClusterError, WorkerLostError
from curation.run.local_ray import call_in_thread, first_reason, init_ray, start_local_ray

Task = TypeVar("Task")
Result = TypeVar("Result")

_TASKS_AHEAD_PER_WORKER = 2
_CORE_COUNT_INTERVAL_S = 5.0
_NODE_TIMEOUT_S = 120.0
_CONNECT_TIMEOUT_S = 10.0
_LOST_WORKER_RETRIES = 10
"""Clips cannot kill a worker, so something outside did, and may do so again."""
_RAY_SETTINGS = {
    "USAGE_STATS_ENABLED": "0",
    # Ray's default retries a task whose worker ran out of memory without limit.
    "task_oom_retries": str(_LOST_WORKER_RETRIES),
    "ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class Workers(Protocol):
    """A worker pool."""

    def start(self) -> bool:
        """Start the workers; return False if they run already. `map` starts them too."""
        ...

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield `function(task)` for each task, in order of completion. An exception of a task is raised here."""
        ...


class InProcess:
    """Run tasks one after another in this process, for debugging and for very small listings."""

    def start(self) -> bool:
        """Return False: there is no process to start."""
        return False

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield `function(task)` for each task, in the order given."""
        return map(function, tasks)


class RayWorkers:
    """Run tasks on Ray, each on one core.

    A context manager: leaving it stops a local Ray instance, or disconnects from the cluster.
    """

    def __init__(self, num_workers: int, *, gpus_per_task: float = 0, address: str | None = None) -> None:
        self._num_workers = num_workers
        self._gpus_per_task = gpus_per_task
        self._address = address
        self._ray: Any = None
        self._call: Any = None
        self._window = 0
        self._next_core_count_s = 0.0
        self._first: Callable[[], None] | None = None
        self.cleanup = contextlib.ExitStack()
        """What to close when the workers are no longer needed, in reverse order."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.cleanup.close()

    def start(self) -> bool:
        """Start a local Ray instance, or connect to the cluster; return False if that is done.

        Raises ClusterError if Ray does not start, or the cluster cannot be reached.
        """
        if self._ray is not None:
            return False
        for name, value in _RAY_SETTINGS.items():
            os.environ.setdefault(f"RAY_{name}", value)
        import ray
        import ray.util.scheduling_strategies

        # Ray would send the command line to the cluster, which fails for bytes that are not UTF-8 and shows passwords.
        ray._private.utils.get_entrypoint_name = lambda: "pix2gif"
        # Ray puts the driver's working directory first on the workers' import path. A user's own shards/ or training/
        # would be imported instead of ours, so Ray starts in an empty folder.
        empty = self.cleanup.enter_context(tempfile.TemporaryDirectory(prefix="pix2gif-"))
        with contextlib.chdir(empty):
            self._connect(ray)
        self.cleanup.callback(ray.shutdown)
        options = {"num_cpus": 1, "num_gpus": self._gpus_per_task, "max_retries": _LOST_WORKER_RETRIES}
        self._call = ray.remote(**options)(_call)
        self._ray = ray
        return True

    def before_first_task(self, function: Callable[[], None]) -> None:
        """Call a function in every worker process before its next first task. Its exceptions are the task's."""
        self._first = function

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield `function(task)` for each task, in order of completion, with a bounded number in flight."""
        self.start()
        waiting = iter(tasks)
        running: list[Any] = []
        while True:
            num_free = max(0, self._count_window() - len(running))
            running += [self._call.remote(self._first, function, task) for task in itertools.islice(waiting, num_free)]
            if not running:
                return
            done, running = self._ray.wait(running, num_returns=1)
            yield self._get(done[0], function.__name__)

    def on_every_node(self, function: Callable[[Task], Result], task: Task) -> list[tuple[str, Result]]:
        """Call `function(task)` once on each node; return (address of the node, result). Raises ClusterError."""
        self.start()
        pin = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in self._ray.nodes() if node["Alive"]}
        calls = {}
        for node in nodes:
            call = self._call.options(num_cpus=0, num_gpus=0, scheduling_strategy=pin(node, soft=False))
            calls[node] = call.remote(None, function, task)
        results = []
        for node, address in nodes.items():
            try:
                results.append((address, self._ray.get(calls[node], timeout=_NODE_TIMEOUT_S)))
            except self._ray.exceptions.RayError as error:
                reason = str(error).strip().splitlines()[-1][:200]
                raise ClusterError(
                    f"node {address} cannot run pix2gif: {reason}; install the same version there as on this machine"
                ) from error
        return results

    def _connect(self, ray: Any) -> None:
        """Connect to the cluster, or start Ray here. Raises ClusterError."""
        if not self._address:
            options = {"num_cpus": self._num_workers, **({} if self._gpus_per_task else {"num_gpus": 0})}
            start_local_ray(ray, self.cleanup, options)
            return
        _check_reachable(self._address)
        try:
            call_in_thread(lambda: init_ray(ray, address=self._address), self.cleanup)
        except Exception as error:
            # Ray raises exceptions of several unrelated types here.
            ray.shutdown()
            raise ClusterError(_describe_failed_join(self._address, error)) from error

    def _count_window(self) -> int:
        """Return the limit of tasks in flight. Cores are counted again now and then: a cluster may grow and shrink."""
        if time.monotonic() >= self._next_core_count_s:
            num_cores = int(self._ray.cluster_resources().get("CPU", 1))
            self._window = num_cores * (1 + _TASKS_AHEAD_PER_WORKER)
            self._next_core_count_s = time.monotonic() + _CORE_COUNT_INTERVAL_S
        return self._window

    def _get(self, reference: Any, name: str) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            # The task's own exception, as it would be raised without Ray.
            raise error.cause from error
        except self._ray.exceptions.LocalRayletDiedError as error:
            raise WorkerLostError(
                f"Ray's main process on this machine was killed during {name}, probably because memory ran out; "
                "finished work is kept: run the same command again"
            ) from error
        except self._ray.exceptions.RayError as error:
            raise WorkerLostError(
                f"workers keep dying in {name} ({type(error).__name__}), probably because memory runs out; "
                "finished work is kept: free some memory and run the same command again"
            ) from error


def open_workers(
    num_workers: int, *, gpus_per_task: float = 0, address: str | None = None
) -> contextlib.AbstractContextManager[Workers]:
    """Return a worker pool that starts when it is first used and ends with the `with` block.

    0 workers: this process. An address: every core of the Ray cluster that runs there. Otherwise: a new local Ray
    instance, even where another one runs. `gpus_per_task` may be a fraction.
    """
    if num_workers == 0 and address is None:
        return contextlib.nullcontext(InProcess())
    return RayWorkers(num_workers, gpus_per_task=gpus_per_task, address=address)


def _call(first: Callable[[], None] | None, function: Callable[[Any], Any], task: Any) -> Any:
    global _ran_first
    if first and not _ran_first:
        first()
        _ran_first = True
    return function(task)


_ran_first = False
"""In a worker: whether the `before_first_task` function has returned."""


def _check_reachable(address: str) -> None:
    """Raise ClusterError if nothing listens at HOST:PORT: Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        return  # `auto`, or an address of another kind.
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(_describe_failed_join(address, error)) from error


def _describe_failed_join(address: str, error: Exception) -> str:
    return (
        f"cannot join the Ray cluster at {address}: {first_reason(error)}; check that `ray status --address {address}` "
        "works on this machine, with the same Ray and Python versions and the same RAY_AUTH_MODE"
    )
