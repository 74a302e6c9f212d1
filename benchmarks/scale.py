"""Drive listings of growing length through the true driver, and show what it takes and whether that grows.

    python -m benchmarks.scale [--rows 10000 100000 1000000] [--workers 2]

Each listing has a process of its own, which calls `curation.pipeline.curate` on Ray workers as the command does. Only
what the workers do is replaced, by answers drawn beforehand (`recorded.py`): no GIF is there. Tasks are cut, handed
out and answered as ever, parts of the flow table are written and read, pairs are selected and shards planned; no
picture is encoded, and of a shard only its first samples are written. Workers load their code before the clock of the
first stage starts, so that what is the same for all listings, Ray's start and end, is not counted by the row.

Prints, as Markdown, for each listing the driver's memory and time, in all and by stage: the most memory so far as the
kernel counts it (shared libraries and Ray's client included), wall time and the driver's own processor time.
"""

import argparse
import contextlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import recorded
from curation import pipeline
from curation.config import CurationConfig
from curation.decode.probe import probe_clips
from curation.export.stage import run_task
from curation.flow.tasks import make_part
from curation.options import RunOptions
from curation.run import context
from curation.run.progress import Bar, Progress
from curation.run.workers import Workers, open_workers

ROOT = Path(__file__).resolve().parents[1]
_ANSWERS: dict[Callable[..., Any], Callable[..., Any]] = {
    probe_clips: recorded.probe_clips,
    make_part: recorded.make_flow_part,
    run_task: recorded.run_task,
}
_FIXED = ("start", "stop")


class Recorded:
    """Workers that are given recorded answers in place of work."""

    num_tasks = 0

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def start(self) -> bool:
        """Do as `Workers.start`."""
        return self._workers.start()

    def map(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        """Do as `Workers.map`."""
        for result in self._workers.map(_ANSWERS[function], tasks):
            Recorded.num_tasks += 1
            yield result


@contextlib.contextmanager
def open_recorded(num_workers: int, address: str | None = None) -> Iterator[Recorded]:
    """Do as `curation.run.workers.open_workers`."""
    with open_workers(num_workers, address=address) as workers:
        for _ in workers.map(time.sleep, [0.2] * 10 * num_workers):
            pass
        yield Recorded(workers)


class Watched(Progress):
    """Notes what the driver had taken when each stage ended."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.most_mb: dict[str, float] = {}
        self.cpu_s: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, name: str, total: int = 0, unit: str = "") -> Iterator[Bar]:
        """Do as `Progress.stage`."""
        start = time.process_time()
        with super().stage(name, total, unit) as bar:
            yield bar
        self.cpu_s[name] = self.cpu_s.get(name, 0.0) + time.process_time() - start
        self.most_mb[name] = most_mb()


def most_mb() -> float:
    """Most memory of this process so far, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6


def drive(num_rows: int, workers: int, folder: Path) -> dict[str, Any]:
    """Run the driver once, in this process."""
    imported_mb = most_mb()
    listing = folder / "listing.tsv"
    recorded.write_listing(listing, num_rows)
    (folder / "gifs").mkdir()
    context.open_workers = open_recorded  # type: ignore[assignment]
    progress = Watched()
    options = RunOptions(listing=listing, gifs=folder / "gifs", out=folder / "out", workers=workers)
    summary = pipeline.curate(options, CurationConfig(), progress)
    return {
        "num_rows": num_rows,
        "imported_mb": imported_mb,
        "most_mb": progress.most_mb,
        "seconds": progress.seconds,
        "cpu_s": progress.cpu_s,
        "num_tasks": Recorded.num_tasks,
        "verdicts": summary.manifest.verdicts if summary else {},
    }


def drive_alone(num_rows: int, workers: int) -> dict[str, Any]:
    """Run the driver once, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "benchmarks.scale", "--rows", str(num_rows), "--workers", str(workers)]
        # Ray's workers start in an empty folder, and have to find the answers.
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(  # noqa: S603
            [*words, "--into", folder], check=True, stdout=subprocess.PIPE, cwd=ROOT, env=environment
        )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def show_stages(one: dict[str, Any]) -> None:
    """Print what each stage of a run took."""
    print(f"\n{one['num_rows']:,} rows: {one['verdicts']}\n")
    print("| stage | s | us a row | driver's cpu, s | most memory so far, MB |\n|---|---|---|---|---|")
    for name, seconds in one["seconds"].items():
        each = "" if name in _FIXED else f"{1e6 * seconds / one['num_rows']:,.0f}"
        print(f"| {name} | {seconds:,.1f} | {each} | {one['cpu_s'][name]:,.1f} | {one['most_mb'][name]:,.0f} |")
    sys.stdout.flush()


def show(results: list[dict[str, Any]]) -> None:
    """Print the runs side by side."""
    print("\n| rows | most memory, MB | after import, MB | s | rows/s | us a row | to the first | tasks | tasks/s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for one in results:
        seconds = _own_seconds(one)
        to_first = _us_a_row(one) / _us_a_row(results[0])
        print(
            f"| {one['num_rows']:,} | {max(one['most_mb'].values()):,.0f} | {one['imported_mb']:,.0f} | {seconds:,.1f} "
            f"| {one['num_rows'] / seconds:,.0f} | {_us_a_row(one):,.0f} | {to_first:.2f} "
            f"| {one['num_tasks']:,} | {one['num_tasks'] / seconds:,.0f} |"
        )


def _own_seconds(one: dict[str, Any]) -> float:
    return sum(seconds for name, seconds in one["seconds"].items() if name not in _FIXED)


def _us_a_row(one: dict[str, Any]) -> float:
    return 1e6 * _own_seconds(one) / one["num_rows"]


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description="Show whether the driver's memory and time grow with the listing.")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--into", type=Path, help="Run once, in this process and in this folder.")
    args = parser.parse_args()
    if args.into:
        print(json.dumps(drive(args.rows[0], args.workers, args.into)))
    else:
        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {args.workers} workers")
        results = []
        for rows in args.rows:
            results.append(drive_alone(rows, args.workers))
            show_stages(results[-1])
        show(results)


if __name__ == "__main__":
    main()
