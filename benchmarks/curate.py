"""Time `pix2gif-curate` against a plain script, alternating, from the start of the process to its end.

    python -m benchmarks.curate [--listing TSV] [--runs 3] [--workers 2] [--baseline SCRIPT]

Without a listing, GIFs are drawn. The baseline is `benchmarks/plain_curate.py`, or a SCRIPT that is called as
`SCRIPT LISTING OUT PROCESSES`. Prints all times, their medians and the ratio of the medians, as Markdown.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.helpers import CURATE, count_cores, describe_machine, make_parser, print_header, print_row
from examples.draw_gifs import draw_folder


def time_command(words: list[str]) -> float:
    """Run a command; return its wall time in seconds."""
    start = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    return time.perf_counter() - start


def draw_listing(folder: Path) -> Path:
    """Draw 60 GIFs and return a listing without the row that is not a GIF, which the plain script cannot skip."""
    rows = draw_folder(folder, num_gifs=60, seed=0).read_text().splitlines(keepends=True)
    listing = folder / "gifs_only.tsv"
    listing.write_text("".join(row for row in rows if "gone.gif" not in row))
    return listing


def main() -> None:
    """Run both commands in turn and print their times."""
    parser = make_parser(__doc__)
    parser.add_argument("--listing", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=count_cores())
    parser.add_argument("--baseline", type=Path, default=Path(__file__).with_name("plain_curate.py"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        listing = args.listing or draw_listing(Path(folder))
        curate_s, baseline_s = [], []
        for run in range(args.runs):
            out = Path(folder) / f"out-{run}"
            words = [CURATE, str(listing), "--out", str(out), "--val-fraction", "0"]
            curate_s.append(time_command([*words, "--workers", str(args.workers)]))
            shutil.rmtree(out)
            words = [sys.executable, str(args.baseline), str(listing), str(out), str(args.workers)]
            baseline_s.append(time_command(words))
            shutil.rmtree(out)
    print(f"{describe_machine()}\n{args.workers} workers, {args.runs} runs, {listing.name}.\n")
    print_header("", "seconds of each run", "median")
    for name, times in (("pix2gif-curate, including Ray's start", curate_s), (args.baseline.name, baseline_s)):
        print_row(name, ", ".join(f"{time_s:.1f}" for time_s in times), f"{statistics.median(times):.1f}")
    print(f"\nRatio of the medians: {statistics.median(baseline_s) / statistics.median(curate_s):.2f}")


if __name__ == "__main__":
    main()
