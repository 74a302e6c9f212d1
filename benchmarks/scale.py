"""Measure memory and time of the driver for listings of growing length.

    python -m benchmarks.scale [--rows 10000 100000 1000000] [--workers 2]

Each listing runs in its own process, which calls `curation.pipeline.curate` on Ray workers as the command does. Only
the work of the workers is replaced, by drawn results (`recorded.py`), so no GIF is needed. The driver plans and
distributes tasks, writes and reads parts of the flow table, selects pairs and plans shards. No picture is encoded, and
only the first samples of a shard are written. Ray starts before the first stage, so its start is not part of the time
per row.

Prints for each listing, in total and by stage, as Markdown: peak memory as the kernel counts it (including shared
libraries and Ray's client), wall time, and the driver's processor time.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks import recorded
from benchmarks.helpers import ROOT, describe_machine, make_parser, print_header, print_row, read_peak_mb
from curation import pipeline
from curation.config import CurationConfig
from curation.decode.probe import probe_clips
from curation.export.stage import run_task
from curation.flow.tasks import make_part
from curation.options import RunOptions
from curation.run import context
from curation.run.progress import Bar, Progress
from curation.run.workers import Workers, open_workers

_RECORDED: dict[Callable[..., Any], Callable[..., Any]] = {
    probe_clips: recorded.probe_clips,
    make_part: recorded.make_flow_part,
    run_task: recorded.run_task,
}
_FIXED = ("start", "compile")
"""Stages whose time does not depend on the listing."""


class Recorded:
    """Workers that return recorded results instead of working."""

    num_tasks = 0

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def start(self) -> bool:
        """See `Workers.start`."""
        return self._workers.start()

    def map(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        """See `Workers.map`."""
        for result in self._workers.map(_RECORDED.get(function, function), tasks):
            Recorded.num_tasks += 1
            yield result


@contextlib.contextmanager
def open_recorded(num_workers: int, address: str | None = None) -> Iterator[Recorded]:
    """Open workers as `curation.run.workers.open_workers` does; they import their code before they are yielded."""
    with open_workers(num_workers, address=address) as workers:
        for _ in workers.map(time.sleep, [0.2] * 10 * num_workers):
            pass
        yield Recorded(workers)


class Watched(Progress):
    """Records memory and processor time of the driver at the end of each stage."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.peak_mb: dict[str, float] = {}
        self.cpu_s: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, name: str, total: int = 0, unit: str = "") -> Iterator[Bar]:
        """See `Progress.stage`."""
        start = time.process_time()
        with super().stage(name, total, unit) as bar:
            yield bar
        self.cpu_s[name] = self.cpu_s.get(name, 0.0) + time.process_time() - start
        self.peak_mb[name] = read_peak_mb()


def drive(num_rows: int, workers: int, folder: Path) -> dict[str, Any]:
    """Run the driver once in this process."""
    imported_mb = read_peak_mb()
    listing = folder / "listing.tsv"
    recorded.write_listing(listing, num_rows)
    (folder / "gifs").mkdir()
    progress = Watched()
    options = RunOptions(listing=listing, gifs=folder / "gifs", out=folder / "out", workers=workers)
    with mock.patch.object(context, "open_workers", open_recorded):
        summary = pipeline.curate(options, CurationConfig(), progress)
    return {
        "num_rows": num_rows,
        "imported_mb": imported_mb,
        "peak_mb": progress.peak_mb,
        "seconds": progress.seconds,
        "cpu_s": progress.cpu_s,
        "num_tasks": Recorded.num_tasks,
        "verdicts": summary.manifest.verdicts if summary else {},
    }


def drive_in_process(num_rows: int, workers: int) -> dict[str, Any]:
    """Run the driver once in its own process."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "benchmarks.scale", "--rows", str(num_rows), "--workers", str(workers)]
        # Ray's workers start in an empty folder, so they find `recorded.py` only by PYTHONPATH.
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(  # noqa: S603
            [*words, "--into", folder], check=True, stdout=subprocess.PIPE, cwd=ROOT, env=environment
        )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def print_stages(one: dict[str, Any]) -> None:
    """Print the times and the memory of the stages of a run."""
    verdicts = ", ".join(f"{count:,} {name}" for name, count in one["verdicts"].items() if count)
    print(f"\n{one['num_rows']:,} rows: {verdicts}\n")
    print_header("stage", "s", "us per row", "driver's cpu, s", "peak memory so far, MB")
    for name, seconds in one["seconds"].items():
        each = "" if name in _FIXED else f"{1e6 * seconds / one['num_rows']:,.0f}"
        print_row(name, f"{seconds:,.1f}", each, f"{one['cpu_s'][name]:,.1f}", f"{one['peak_mb'][name]:,.0f}")


def print_runs(results: list[dict[str, Any]]) -> None:
    """Print one row for each run."""
    print()
    print_header(
        *("rows", "peak memory, MB", "after import, MB", "s", "rows/s"), *("us per row", "to the first", "tasks/s")
    )
    for one in results:
        seconds, num_rows = count_seconds(one), one["num_rows"]
        to_first = seconds / num_rows * results[0]["num_rows"] / count_seconds(results[0])
        memory = (f"{max(one['peak_mb'].values()):,.0f}", f"{one['imported_mb']:,.0f}")
        rate = (f"{seconds:,.1f}", f"{num_rows / seconds:,.0f}", f"{1e6 * seconds / num_rows:,.0f}")
        print_row(f"{num_rows:,}", *memory, *rate, f"{to_first:.2f}", f"{one['num_tasks'] / seconds:,.0f}")


def count_seconds(one: dict[str, Any]) -> float:
    """Return the time of the stages that depend on the listing."""
    return sum(float(seconds) for name, seconds in one["seconds"].items() if name not in _FIXED)


def main() -> None:
    """Run the driver for each number of rows and print the tables."""
    parser = make_parser(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--into", type=Path, help="Run once, in this process and in this folder.")
    args = parser.parse_args()
    if args.into:
        print(json.dumps(drive(args.rows[0], args.workers, args.into)))
    else:
        print(f"{describe_machine('ray', 'pyarrow')}\n{args.workers} workers.")
        results = []
        for rows in args.rows:
            results.append(drive_in_process(rows, args.workers))
            print_stages(results[-1])
        print_runs(results)


if __name__ == "__main__":
    main()
