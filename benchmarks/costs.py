"""Estimate what curating all of TGIF costs, from a sample measured on this machine.

    python -m benchmarks.costs LISTING [--gifs DIR] [--sample 40] [--repeats 3] [--dollars 0.04]

Curates samples of the listing on one core (`--workers 0`) and scales each stage by what it depends on: probing by
clips, measuring by pairs, export by samples. Fetching is apart: it depends on hosts and their rate limits. TGIF has
102,068 GIFs (Li et al., 2016) and, at 40.6 frames on average, 100 to 150 million pairs. Prints Markdown.
"""

import random
import statistics
import tempfile
from pathlib import Path

from benchmarks.helpers import describe_machine, make_parser, print_header, print_row, summarize
from curation.config import CurationConfig
from curation.options import RunOptions
from curation.pipeline import curate
from curation.run.progress import Progress

TGIF_CLIPS, TGIF_PAIRS, TGIF_SAMPLES = 102_068, 125_000_000, 1_010_000
STAGES = {"probe": TGIF_CLIPS, "measure": TGIF_PAIRS, "export": TGIF_SAMPLES}
"""Units of each stage in all of TGIF; samples at the 9.95 pairs a clip of the paper, for 99 % of the clips."""


def measure_sample(listing: Path, gifs: Path | None) -> dict[str, float]:
    """Curate a listing on one core; return the seconds of one unit by stage."""
    with tempfile.TemporaryDirectory() as out:
        options = RunOptions(listing=listing, out=Path(out, "out"), gifs=gifs, workers=0, quiet=True)
        summary = curate(options, CurationConfig(), Progress(quiet=True))
    if summary is None:
        raise RuntimeError("OUT was not empty")
    units = {
        "probe": len(summary.curated.catalog.clips),
        "measure": summary.num_pairs_measured,
        "export": summary.curated.num_kept,
    }
    return {stage: summary.seconds[stage] / number for stage, number in units.items()}


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("listing", type=Path)
    parser.add_argument("--gifs", type=Path)
    parser.add_argument("--sample", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dollars", type=float, default=0.04, help="price of a core-hour")
    args = parser.parse_args()
    lines = args.listing.read_text(encoding="utf-8").splitlines()
    measured = []
    for repeat in range(args.repeats):
        chosen = random.Random(repeat).sample(lines, min(args.sample, len(lines)))  # noqa: S311
        with tempfile.NamedTemporaryFile(
            "w", dir=args.listing.parent if not args.gifs else None, suffix=".tsv"
        ) as file:
            file.write("\n".join(chosen) + "\n")
            file.flush()
            measured.append(measure_sample(Path(file.name), args.gifs))
    print(f"{describe_machine()}\n{args.repeats} samples of {args.sample} rows, one core.\n")
    print_header("stage", "per unit", "all of TGIF", "core-hours", "dollars")
    total = [0.0] * args.repeats
    for stage, number in STAGES.items():
        hours = [each[stage] * number / 3600 for each in measured]
        total = [before + more for before, more in zip(total, hours, strict=True)]
        unit_us = statistics.median(each[stage] for each in measured) * 1e6
        print_costs(hours, args.dollars, stage, f"{unit_us:,.0f} us", f"{number:,}")
    print_costs(total, args.dollars, "sum", "", "")


def print_costs(hours: list[float], dollars: float, *cells: str) -> None:
    """Print a row that ends with core-hours and their price."""
    print_row(*cells, summarize(hours, ".1f"), f"{statistics.median(hours) * dollars:.2f}")


if __name__ == "__main__":
    main()
