"""Measure how evenly workers finish: one GIF of 572 frames among 200 short ones, measured by two workers.

    python -m benchmarks.scheduling [--workers 2]

Prints the time from the first worker's last task to the last worker's last task, as a share of the whole time.
"""

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from curation.config import CurationConfig
from curation.decode.probe import ProbeTask, probe_clips
from curation.decode.probe_results import ProbeResults
from curation.fetch.read_listing import read_listing
from curation.flow.stage import measure_all
from curation.listing.catalog import read_catalog
from curation.options import RunOptions
from curation.run.context import open_run
from curation.run.progress import Progress
from curation.run.workers import Workers
from examples.draw_gifs import DrawnGif, draw_folder, draw_frames, save_gif

CONFIG = CurationConfig()
NUM_SHORT = 200
GIANT = DrawnGif(name="giant.gif", caption="a giant", num_frames=572, dx=0.3)


class Timed:
    """Workers that record which process ran each task, and when."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self.ends: dict[int, float] = {}
        """By process: the end of its last task, in seconds since 1970."""
        self.starts: list[float] = []

    def start(self) -> bool:
        """See `Workers.start`."""
        return self._workers.start()

    def map(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        """See `Workers.map`."""

        def do(task: Any) -> tuple[Any, int, float, float]:
            start = time.time()
            return function(task), os.getpid(), start, time.time()

        for result, pid, start, end in self._workers.map(do, tasks):
            self.starts.append(start)
            self.ends[pid] = max(self.ends.get(pid, 0.0), end)
            yield result


def main() -> None:
    """Draw the GIFs, measure them and print the times."""
    parser = argparse.ArgumentParser(description="Measure how evenly workers finish.")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        listing = draw_folder(folder, num_gifs=NUM_SHORT, seed=0)
        save_gif(folder / "gifs" / GIANT.name, draw_frames(GIANT))
        with listing.open("a") as file:
            file.write(f"gifs/{GIANT.name}\t{GIANT.caption}\n")
        options = RunOptions(listing=listing, out=folder / "out", workers=args.workers)
        clips = read_catalog(read_listing(options), options, CONFIG).clips
        with open_run(options, CONFIG, Progress(quiet=True)) as run:
            workers = run.workers
            # Each worker probes some clips first, so that all have started when the clock starts.
            probes = [
                ProbeTask(clips=tuple(clips.values())[k :: 4 * args.workers], config=CONFIG)
                for k in range(4 * args.workers)
            ]
            probed = ProbeResults(clips)
            for batch in workers.map(probe_clips, probes):
                for clip in batch:
                    probed.record(clip)
            timed = Timed(workers)
            measure_all(dataclasses.replace(run, workers=timed), probed)
    whole = max(timed.ends.values()) - min(timed.starts)
    idle = max(timed.ends.values()) - min(timed.ends.values())
    print(f"{len(timed.starts)} tasks on {len(timed.ends)} workers in {whole:.1f} s")
    print(f"last worker ends {idle:.2f} s after the first: {idle / whole:.1%} of the time")


if __name__ == "__main__":
    main()
