"""What the lock uses in a simulation: an object store, threads, clocks and random numbers of a schedule."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

from curation.run.locks import store_lock

if TYPE_CHECKING:
    from tests.curation.run.lock_simulation import Simulation, Task

simulation: "Simulation"
"""The schedule that runs."""


@dataclasses.dataclass(frozen=True, order=True)
class StorePath:
    """A path in the simulated store, with the methods of ObjectPath that the lock needs."""

    name: str

    def __truediv__(self, name: str) -> "StorePath":
        return StorePath(name)

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object."""
        simulation.request()
        simulation.objects.pop(self.name, None)
        simulation.request()

    def is_file(self) -> bool:
        """Return whether the object exists."""
        simulation.request()
        exists = self.name in simulation.objects
        simulation.request()
        return exists

    def read_text(self) -> str:
        """Return the object's text."""
        simulation.request()
        if self.name not in simulation.objects:
            raise FileNotFoundError(self.name)
        text, _ = simulation.objects[self.name]
        simulation.request()
        return text

    def scan(self) -> list[tuple["StorePath", Any]]:
        """List all objects; times are whole seconds of the store's clock."""
        simulation.request()
        listed = [
            (StorePath(name), SimpleNamespace(mtime_ns=int(written_s) * 10**9))
            for name, (_, written_s) in simulation.objects.items()
        ]
        simulation.request()
        return listed


@contextlib.contextmanager
def _upload(path: StorePath) -> Iterator[Any]:
    written: list[str] = []
    yield SimpleNamespace(write_text=written.append)
    simulation.request()
    simulation.objects[path.name] = (written[0], simulation.now_s)
    simulation.request()


class _Event:
    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout_s: float) -> bool:
        end_s = simulation.now_s + timeout_s
        while not self._is_set and simulation.now_s < end_s:
            simulation.step(min(1.0, timeout_s))
        return self._is_set


class _Thread:
    def __init__(self, target: Callable[[], object], daemon: bool) -> None:
        self._target, self._task = target, None

    def start(self) -> None:
        self._task: Task | None = simulation.start_thread(self._target)

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.is_done

    def join(self, timeout_s: float) -> None:
        end_s = simulation.now_s + timeout_s
        while self.is_alive() and simulation.now_s < end_s:
            simulation.step(0.5)


@contextlib.contextmanager
def patched(schedule: "Simulation") -> Iterator[None]:
    """Let the code of the lock run in a schedule while the block runs."""
    global simulation
    simulation = schedule
    clock = SimpleNamespace(
        CLOCK_MONOTONIC=1, clock_gettime=simulation.read_clock_s, time=simulation.read_clock_s,
        sleep=simulation.step,
    )  # fmt: skip
    numbers = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=f"{simulation.draw.getrandbits(64):016x}"))
    with mock.patch.multiple(
        store_lock,
        time=clock,
        random=simulation.draw,
        uuid=numbers,
        threading=SimpleNamespace(Thread=_Thread, Event=_Event),
        write_atomically=_upload,
        _identify_machine=lambda: simulation.current_name,
    ):
        yield
