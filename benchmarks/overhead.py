"""Show what Ray costs: wall time of a run times its workers, over the processor time of the work itself.

    python -m benchmarks.overhead LISTING [--workers 2] [--runs 3]

Runs `curation.pipeline.curate` as the command does. Each task notes the processor time that it took, of the worker and
of the sandbox beside it; nothing else is counted as work, not the driver, nor Ray's own processes, nor what workers do
between tasks. Prints, by stage, the time from the first task's start to the last one's end, times the workers, over
that work, and the same for all stages together, selection between them included; Ray's start and end, which no worker
can use, are told apart.

A machine that others use too gives Ray less than it asks for, which is not its fault. So what programs other than ours
took of the cores meanwhile is taken off once: that figure holds where there are as many cores as workers.
"""

import argparse
import contextlib
import dataclasses
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil

from curation import pipeline
from curation.config import CurationConfig
from curation.options import RunOptions
from curation.run import context, sandbox
from curation.run.progress import Progress
from curation.run.workers import Workers, open_workers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Done:
    """A task that was done."""

    name: str
    pid: int
    start_s: float
    end_s: float
    cpu_s: float


class Timed:
    """Workers that note what each task took."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self.done: list[Done] = []

    def start(self) -> bool:
        """Do as `Workers.start`."""
        return self._workers.start()

    def map(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        """Do as `Workers.map`."""

        def do(task: Any) -> tuple[Any, Done]:
            start_s, before_s = time.time(), cpu_s()
            result = function(task)
            return result, Done(
                name=function.__name__, pid=os.getpid(), start_s=start_s, end_s=time.time(), cpu_s=cpu_s() - before_s
            )

        for result, done in self._workers.map(do, tasks):
            self.done.append(done)
            yield result


@dataclasses.dataclass(frozen=True, kw_only=True)
class Usage:
    """Processor time so far, in seconds."""

    everybody_s: float
    """Of the whole machine, and what its host took of it."""
    ours_s: float
    """Of this process and all that it has started, Ray with them."""

    @classmethod
    def now(cls) -> "Usage":
        """Look."""
        times, me = psutil.cpu_times(), psutil.Process()
        ours = 0.0
        for one in (me, *me.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                ours += sum(one.cpu_times()[:2])
        everybody = times.user + times.nice + times.system + getattr(times, "steal", 0.0)
        return cls(everybody_s=everybody, ours_s=ours)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A run that ended."""

    seconds: dict[str, float]
    """By stage."""
    done: list[Done]
    others_s: float
    """Processor time of programs other than ours, while Ray stood."""


def cpu_s() -> float:
    """Processor time of this process and of its sandbox, so far, in seconds."""
    total = time.process_time()
    if (child := sandbox._child) is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = psutil.Process(child._process.pid).cpu_times()
            total += times.user + times.system
    return total


def run_once(listing: Path, workers: int, out: Path) -> Run:
    """Curate once."""
    timed: list[Timed] = []
    usages: list[Usage] = []

    @contextlib.contextmanager
    def open_timed(num_workers: int, address: str | None = None) -> Iterator[Timed]:
        with open_workers(num_workers, address=address) as workers:
            workers.start()
            timed.append(Timed(workers))
            usages.append(Usage.now())
            yield timed[-1]
            usages.append(Usage.now())

    context.open_workers = open_timed  # type: ignore[assignment]
    progress = Progress(quiet=True)
    pipeline.curate(RunOptions(listing=listing, out=out, workers=workers), CurationConfig(val_fraction=0), progress)
    before, after = usages
    others_s = after.everybody_s - before.everybody_s - (after.ours_s - before.ours_s)
    return Run(seconds=progress.seconds, done=timed[0].done, others_s=others_s)


def show(run: Run, workers: int) -> tuple[float, float]:
    """Print a run's table; returns the ratio over all tasks, and that without what others took."""
    print("\n| | tasks | wall, s | in tasks, s | work, s of a core | wall x workers / work | idle at the end, s |")
    print("|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(one.name for one in run.done):
        _show_row(name, [one for one in run.done if one.name == name], workers)
    wall_s, work_s = _show_row("first task to last", run.done, workers)
    whole_s = sum(run.seconds.values())
    print(f"| whole run | | {whole_s:.1f} | | | {whole_s * workers / work_s:.3f} | |")
    print("\nStages, s: " + ", ".join(f"{name} {s:.2f}" for name, s in run.seconds.items()))
    without_others = (wall_s * workers - run.others_s) / work_s
    print(f"\nOther programs took {run.others_s:.1f} s of a core meanwhile; without that {without_others:.3f}")
    return wall_s * workers / work_s, without_others


def _show_row(name: str, done: list[Done], workers: int) -> tuple[float, float]:
    wall_s = max(one.end_s for one in done) - min(one.start_s for one in done)
    work_s, in_tasks_s = sum(one.cpu_s for one in done), sum(one.end_s - one.start_s for one in done)
    ends = [max(one.end_s for one in done if one.pid == pid) for pid in {one.pid for one in done}]
    print(
        f"| {name} | {len(done)} | {wall_s:.2f} | {in_tasks_s:.2f} | {work_s:.2f} | {wall_s * workers / work_s:.3f} "
        f"| {max(ends) - min(ends):.2f} |"
    )
    return wall_s, work_s


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description="Show what Ray costs over the work itself.")
    parser.add_argument("listing", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {args.workers} workers")
    ratios = []
    for _ in range(args.runs):
        with tempfile.TemporaryDirectory() as folder:
            ratios.append(show(run_once(args.listing, args.workers, Path(folder) / "out"), args.workers))
    plain, without_others = (statistics.median(one) for one in zip(*ratios, strict=True))
    print(f"\nwall x workers / work, median of {args.runs}: {plain:.3f}; without other programs: {without_others:.3f}")


if __name__ == "__main__":
    main()
