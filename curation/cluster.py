"""Where the work runs: in this process, or on Ray. The only file that imports ray.

A stage is a function from a task to a small result. Tasks are handed out in the order given, a bounded number at a
time, and results come back in the order in which they are done.
"""

import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from curation.errors import WorkerLostError

Task = TypeVar("Task")
Result = TypeVar("Result")

_TASKS_AHEAD_PER_WORKER = 2
_OBJECT_STORE_BYTES = 80 * 2**20
"""Ray's least. Only paths and counts pass through it."""
_RETRIES_OF_A_LOST_WORKER = 3


class Workers(Protocol):
    """Something that runs tasks."""

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield `function(task)` for each task, in order of completion. What a task raises is raised here."""
        ...


class InProcess:
    """Run tasks one after another in this process, for debugging and for very small listings."""

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield `function(task)` for each task, in the order given."""
        return map(function, tasks)


class RayWorkers:
    """Run tasks on Ray, each on one core."""

    def __init__(self, ray: Any, num_workers: int) -> None:
        self._ray = ray
        self._window = num_workers * (1 + _TASKS_AHEAD_PER_WORKER)
        self._call = ray.remote(num_cpus=1, max_retries=_RETRIES_OF_A_LOST_WORKER)(_call)

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield `function(task)` for each task, in order of completion, a bounded number in flight."""
        waiting = iter(tasks)
        running: list[Any] = []
        while True:
            for task in waiting:
                running.append(self._call.remote(function, task))
                if len(running) >= self._window:
                    break
            if not running:
                return
            done, running = self._ray.wait(running, num_returns=1)
            yield self._get(done[0], function.__name__)

    def _get(self, reference: Any, name: str) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            # The task's own exception, as it would be raised without Ray.
            raise error.cause from error
        except self._ray.exceptions.RayError as error:
            raise WorkerLostError(
                f"a worker died again and again in {name} ({type(error).__name__}): out of memory, or a GIF that kills "
                "the decoder; what was finished is kept, and --workers 0 shows where it happens"
            ) from error


def _call(function: Callable[[Any], Any], task: Any) -> Any:
    _import_webdataset_without_torch()
    return function(task)


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
def start_workers(num_workers: int) -> Iterator[Workers]:
    """Start a Ray of our own on this machine for as long as the block lasts; none for 0 workers.

    Never joins a cluster that happens to run here.
    """
    if num_workers == 0:
        yield InProcess()
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # By default a task whose worker ran out of memory is tried again for ever.
    os.environ.setdefault("RAY_task_oom_retries", str(_RETRIES_OF_A_LOST_WORKER))
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    # Ray puts the driver's current folder first on the workers' import path, where a user's own shards/ or
    # training/ would be imported in our place; so it starts in a folder that is empty.
    with tempfile.TemporaryDirectory(prefix="pix2gif-") as empty:
        handler = signal.getsignal(signal.SIGTERM)
        try:
            with contextlib.chdir(empty):
                ray.init(
                    address="local",
                    num_cpus=num_workers,
                    num_gpus=0,
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    log_to_driver=False,
                    logging_level="ERROR",
                )
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)  # Ray's own handler would abort the process.
            yield RayWorkers(ray, num_workers)
        finally:
            ray.shutdown()
