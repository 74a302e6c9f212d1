"""Simulate runs that compete for the lock of one OUT in an object store: pauses, kills, slow requests, skewed clocks.

The code of `curation.run.locks.store_lock` runs unchanged, in threads of which one runs at a time. A seed determines
the schedule: `python -m tests.curation.run.lock_simulation SEED` prints it.
"""

import dataclasses
import random
import sys
import threading
from collections.abc import Callable

from curation.errors import OutputError
from curation.run.locks.store_lock import STALE_S, StoreLock
from tests.curation.run.simulated_store import StorePath, patched

_NUM_COMMANDS = 6


class _KilledError(BaseException):
    """Ends the threads of a killed process."""


@dataclasses.dataclass
class Process:
    """A simulated run."""

    name: str
    clock_rate: float
    clock_offset_s: float
    set_clock_s: float = 0.0
    """By how much the clock of the day was set."""
    paused_until_s: float = 0.0
    is_killed: bool = False
    lock: StoreLock | None = None
    outcome: str = "running"


class Task:
    """A thread of a process."""

    def __init__(
        self, process: Process, function: Callable[[], object], wake_s: float, back: threading.Semaphore
    ) -> None:
        self.process, self.wake_s = process, wake_s
        self._back = back
        self.is_done = False
        self.error: BaseException | None = None
        self.turn = threading.Semaphore(0)
        self._function = function
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.turn.acquire()
        try:
            if not self.process.is_killed:
                self._function()
        except _KilledError:
            pass
        except BaseException as error:  # Raised by the scheduler.
            self.error = error
        self.is_done = True
        self._back.release()


class Simulation:
    """One schedule. `log` holds what happened, `overlaps` when two processes relied on the lock at once."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)  # noqa: S311 # Not for secrets.
        self.now_s = 0.0
        self.objects: dict[str, tuple[str, float]] = {}
        self.log: list[str] = []
        self.overlaps: list[str] = []
        self._back = threading.Semaphore(0)
        self._current: Task | None = None
        self._tasks: list[Task] = []
        self._pause_chance = self.draw.choice([0.0, 0.01, 0.05])
        self._kill_chance = self.draw.choice([0.0, 0.0, 0.003])
        self._latency_s = self.draw.choice([0.02, 0.2, 2.0])
        self.is_calm = self._pause_chance == self._kill_chance == 0
        """Whether no process is paused or killed."""
        self.processes = [self._make_process(f"run {number}") for number in range(self.draw.randint(2, 4))]

    def run(self) -> None:
        """Run all processes to their end, then one more, which must get the lock."""
        with patched(self):
            spread_s = self.draw.choice([0.0, 0.1, 30.0, 200.0])
            for process in self.processes:
                self._start(process, lambda p=process: self._run_command(p), self.draw.uniform(0, spread_s))
            self._schedule()
            self._pause_chance = self._kill_chance = 0.0
            last = self._make_process("last run")
            self.processes.append(last)
            self._start(last, lambda: self._hold(last), self.now_s + STALE_S + 2)
            self._schedule()

    def step(self, duration_s: float) -> None:
        """Let this much time pass for the running thread, and a pause of its process with some chance."""
        task = self._current
        if task is None:
            return  # Called by the scheduler.
        if task.process.is_killed:
            raise _KilledError
        if self.draw.random() < self._pause_chance:
            pause_s = self.draw.choice([5.0, 100.0, 400.0]) * self.draw.random()
            task.process.paused_until_s = self.now_s + pause_s
            task.process.set_clock_s -= pause_s * self.draw.choice([0, 1])  # As after a suspended virtual machine.
            self._note(f"paused for {pause_s:.0f} s")
        if self.draw.random() < self._kill_chance:
            task.process.is_killed = True
            self._note("killed")
        task.wake_s = self.now_s + duration_s
        self._back.release()
        task.turn.acquire()
        if task.process.is_killed:
            raise _KilledError

    def request(self) -> None:
        """Let the time of one way of a request to the store pass."""
        self.step(self.draw.expovariate(1 / self._latency_s))

    def read_clock_s(self, clock: int = 0) -> float:
        """Return a clock of the running process, or of the process whose state the scheduler reads."""
        self.step(0.0)
        process = self._current.process if self._current else self._observed
        return self.now_s * process.clock_rate + process.clock_offset_s + (process.set_clock_s if clock == 0 else 0)

    def start_thread(self, function: Callable[[], object]) -> Task:
        """Start another thread of the running process."""
        assert self._current
        return self._start(self._current.process, function, self.now_s)

    @property
    def current_name(self) -> str:
        """The name of the running process."""
        return self._current.process.name if self._current else ""

    def _make_process(self, name: str) -> Process:
        return Process(name=name, clock_rate=self.draw.uniform(0.99, 1.01), clock_offset_s=self.draw.uniform(-1e6, 1e6))

    def _start(self, process: Process, function: Callable[[], object], wake_s: float) -> Task:
        task = Task(process, function, wake_s, self._back)
        self._tasks.append(task)
        task.thread.start()
        return task

    def _schedule(self) -> None:
        while self._tasks:
            task = min(self._tasks, key=lambda task: max(task.wake_s, task.process.paused_until_s))
            if not task.process.is_killed:
                self.now_s = max(self.now_s, task.wake_s, task.process.paused_until_s)
            self._current = task
            task.turn.release()
            self._back.acquire()
            self._current = None
            if task.error:
                raise task.error
            self._tasks = [task for task in self._tasks if not task.is_done]
            self._check()

    def _check(self) -> None:
        owners = []
        for process in self.processes:
            self._observed = process
            lock = process.lock
            if lock and not process.is_killed and process.outcome == "running" and lock.is_current:
                owners.append(process.name)
        if len(owners) > 1:
            self.overlaps.append(f"{self.now_s:.1f} s: {' and '.join(owners)}")

    def _run_command(self, process: Process) -> None:
        """Run the command; its user types it again when it is refused."""
        for _ in range(_NUM_COMMANDS):
            self._hold(process)
            if process.outcome != "refused":
                break
            self.step(self.draw.uniform(1, 100))

    def _hold(self, process: Process) -> None:
        process.lock, process.outcome = StoreLock("OUT", StorePath("")), "running"  # type: ignore[arg-type]
        self._note("starts")
        try:
            with process.lock.hold():
                self._note("holds the lock")
                for _ in range(self.draw.randint(1, 8)):
                    self.step(self.draw.uniform(0, 60))
                    process.lock.check()
                process.outcome = "finished"
            self._note("finished")
        except OutputError as error:
            process.outcome = "lost" if "is lost" in str(error) else "refused"
            self._note(process.outcome)

    def _note(self, what: str) -> None:
        self.log.append(f"{self.now_s:8.1f} s  {self.current_name}: {what}")


def simulate(seed: int) -> Simulation:
    """Run the schedule of a seed."""
    simulation = Simulation(seed)
    simulation.run()
    return simulation


if __name__ == "__main__":
    schedule = simulate(int(sys.argv[1]))
    print("\n".join([*schedule.log, *(f"TWO OWNERS at {overlap}" for overlap in schedule.overlaps)]))
