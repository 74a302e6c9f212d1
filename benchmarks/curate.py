"""Time `pix2gif-curate` from its start to its end against the plain script, in one run, in turn.

    python benchmarks/curate.py [--listing TSV] [--runs 3] [--workers 2] [--baseline SCRIPT]

Without a listing it draws one. SCRIPT is called as `SCRIPT LISTING OUT PROCESSES`. Prints each time, the medians and
their ratio, as Markdown.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def timed(words: list[str]) -> float:
    """Run a command; returns its wall time in seconds."""
    start = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    return time.perf_counter() - start


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description="Time pix2gif-curate against a plain script.")
    parser.add_argument("--listing", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--baseline", type=Path, default=ROOT / "benchmarks" / "plain_curate.py")
    args = parser.parse_args()
    curate = Path(sys.executable).with_name("pix2gif-curate")
    with tempfile.TemporaryDirectory() as folder:
        listing = args.listing
        if listing is None:
            draw = [sys.executable, str(ROOT / "examples" / "draw_gifs.py"), folder, "--gifs", "60"]
            timed(draw)
            # The plain script knows nothing of bad rows.
            listing = Path(folder) / "sound.tsv"
            rows = (Path(folder) / "listing.tsv").read_text().splitlines(keepends=True)
            listing.write_text("".join(row for row in rows if "gone.gif" not in row))
        ours, theirs = [], []
        for run in range(args.runs):
            out = Path(folder) / f"out-{run}"
            words = [str(curate), str(listing), "--out", str(out), "--val-fraction", "0"]
            ours.append(timed([*words, "--workers", str(args.workers)]))
            shutil.rmtree(out)
            theirs.append(timed([sys.executable, str(args.baseline), str(listing), str(out), str(args.workers)]))
            shutil.rmtree(out)
    print(f"{platform.processor() or platform.machine()}, {args.workers} workers, {args.runs} runs, {listing.name}\n")
    print("| | seconds, each run | median |\n|---|---|---|")
    for name, seconds in (("pix2gif-curate, Ray's start included", ours), (args.baseline.name, theirs)):
        each = ", ".join(f"{one:.1f}" for one in seconds)
        print(f"| {name} | {each} | {statistics.median(seconds):.1f} |")
    print(f"\nRatio of the medians: {statistics.median(theirs) / statistics.median(ours):.2f}")


if __name__ == "__main__":
    main()
