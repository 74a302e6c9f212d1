"""Compare the time of a run with the processor time of its tasks: what Ray costs, and how evenly workers finish.

    python -m benchmarks.overhead [--listing TSV] [--workers 2] [--runs 3]

Without a listing, 200 short GIFs and one of 572 frames are drawn. Runs `curation.pipeline.curate` as the command does.
Each task records its processor time, of the worker and of its sandbox process. Only that counts as work: not the
driver, Ray's own processes, or what workers do between tasks. Prints for each kind of task, and for all together, the
time from the start of the first task to the end of the last one, times the workers, over the work; and how long the
first worker to finish is idle until the last one has finished. All together include selection. Ray's start does not
count. The first run on a machine compiles; its ratio does not count either.

On a shared machine, other programs take processor time that Ray cannot use. A second ratio subtracts it; it is valid if
there are as many cores as workers.
"""

import contextlib
import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

from benchmarks.helpers import describe_machine, make_parser, print_header, print_row
from curation import pipeline
from curation.config import CurationConfig
from curation.options import RunOptions
from curation.run import context, sandbox
from curation.run.progress import Progress
from curation.run.workers import Workers, open_workers
from examples.draw_gifs import DrawnGif, draw_folder, draw_frames, save_gif

_COMPILING = ("_read_cache_state", "_warm_up_sandbox")
"""Tasks that look for compiled code and compile it."""
NUM_SHORT = 200
LONG = DrawnGif(name="long.gif", caption="a long clip", num_frames=572, dx=0.3)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskTime:
    """Times of one task."""

    name: str
    pid: int
    start_s: float
    end_s: float
    cpu_s: float


class Timed:
    """Workers that record the times of each task."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self.done: list[TaskTime] = []

    def start(self) -> bool:
        """See `Workers.start`."""
        return self._workers.start()

    def map(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        """See `Workers.map`."""

        def do(task: Any) -> tuple[Any, TaskTime]:
            start_s, before_s = time.time(), read_cpu_s()
            result = function(task)
            cpu_s = read_cpu_s() - before_s
            times = TaskTime(name=function.__name__, pid=os.getpid(), start_s=start_s, end_s=time.time(), cpu_s=cpu_s)
            return result, times

        for result, done in self._workers.map(do, tasks):
            self.done.append(done)
            yield result


@dataclasses.dataclass(frozen=True, kw_only=True)
class Usage:
    """Processor time so far, in seconds."""

    machine_s: float
    """Of all programs on this machine, including time stolen by its host."""
    own_s: float
    """Of this process and its descendants, including Ray."""

    @classmethod
    def now(cls) -> "Usage":
        """Read the processor times."""
        times, me = psutil.cpu_times(), psutil.Process()
        own = 0.0
        for one in (me, *me.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                own += sum(one.cpu_times()[:2])
        machine = times.user + times.nice + times.system + getattr(times, "steal", 0.0)
        return cls(machine_s=machine, own_s=own)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """Times of one run."""

    seconds: dict[str, float]
    """By stage."""
    done: list[TaskTime]
    others_s: float
    """Processor time of other programs while Ray ran."""


def read_cpu_s() -> float:
    """Return the processor time so far of this process and its sandbox process, in seconds."""
    total = time.process_time()
    if (child := sandbox._child) is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = psutil.Process(child._process.pid).cpu_times()
            total += times.user + times.system
    return total


def draw_listing(folder: Path) -> Path:
    """Draw short GIFs and a long one; return their listing."""
    listing = draw_folder(folder, num_gifs=NUM_SHORT, seed=0)
    save_gif(folder / "gifs" / LONG.name, draw_frames(LONG))
    with listing.open("a", encoding="utf-8") as file:
        file.write(f"gifs/{LONG.name}\t{LONG.caption}\n")
    return listing


def run_once(listing: Path, workers: int, out: Path) -> Run:
    """Curate once and return the times."""
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

    progress = Progress(quiet=True)
    with mock.patch.object(context, "open_workers", open_timed):
        pipeline.curate(RunOptions(listing=listing, out=out, workers=workers), CurationConfig(val_fraction=0), progress)
    before, after = usages
    others_s = after.machine_s - before.machine_s - (after.own_s - before.own_s)
    return Run(seconds=progress.seconds, done=timed[0].done, others_s=others_s)


def show(run: Run, workers: int) -> tuple[float, float]:
    """Print the table of a run; return the ratio over all tasks, and the one without other programs."""
    print()
    print_header("task", "number", "wall, s", "in tasks, s", "work, s", "wall x workers / work", "idle at the end, s")
    for name in dict.fromkeys(one.name for one in run.done if one.name not in _COMPILING):
        _show_row(name, [one for one in run.done if one.name == name], workers)
    wall_s, work_s = _show_row("first task to last", run.done, workers)
    whole_s = sum(run.seconds.values())
    print_row("whole run", "", f"{whole_s:.1f}", "", "", f"{whole_s * workers / work_s:.3f}", "")
    print("\nStages, s: " + ", ".join(f"{name} {s:.2f}" for name, s in run.seconds.items()))
    without_others = (wall_s * workers - run.others_s) / work_s
    print(f"\nOther programs used {run.others_s:.1f} s of processor time; ratio without them {without_others:.3f}")
    return wall_s * workers / work_s, without_others


def _show_row(name: str, done: list[TaskTime], workers: int) -> tuple[float, float]:
    wall_s = max(one.end_s for one in done) - min(one.start_s for one in done)
    work_s, in_tasks_s = sum(one.cpu_s for one in done), sum(one.end_s - one.start_s for one in done)
    ends = [max(one.end_s for one in done if one.pid == pid) for pid in {one.pid for one in done}]
    idle_s = max(ends) - min(ends)
    times = (f"{wall_s:.2f}", f"{in_tasks_s:.2f}", f"{work_s:.2f}", f"{wall_s * workers / work_s:.3f}")
    print_row(name, len(done), *times, f"{idle_s:.2f} ({idle_s / wall_s:.1%})")
    return wall_s, work_s


def main() -> None:
    """Curate several times and print the tables and the median ratios."""
    parser = make_parser(__doc__)
    parser.add_argument("--listing", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    print(f"{describe_machine('ray', 'numba', 'opencv-python-headless')}\n{args.workers} workers.")
    with tempfile.TemporaryDirectory() as scratch:
        listing = args.listing or draw_listing(Path(scratch, "drawn"))
        outs = [Path(scratch, f"out-{run}") for run in range(args.runs)]
        ratios = [show(run_once(listing, args.workers, out), args.workers) for out in outs]
    plain, without_others = (statistics.median(one) for one in zip(*ratios, strict=True))
    print(f"\nwall x workers / work, median of {args.runs}: {plain:.3f}; without other programs: {without_others:.3f}")


if __name__ == "__main__":
    main()
