"""Measure memory and time of reading a long listing, in each form.

    python -m benchmarks.listings [--rows 1000000]

Each form is read in a process of its own, as the first stage of a run reads it. Memory is the peak as the kernel counts
it. Prints Markdown. tests/curation/listing/test_forms.py shows that all forms give the same shards.
"""

import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.helpers import ROOT, describe_machine, make_parser, print_header, print_row, read_peak_mb
from curation.config import CurationConfig
from curation.fetch.read_listing import read_listing
from curation.listing.catalog import read_catalog
from curation.options import RunOptions

FORMS = ("tsv", "csv", "jsonl", "parquet", "tars")
_ROWS_PER_TAR = 10_000


def write_rows(folder: Path, form: str, num_rows: int) -> Path:
    """Write a listing of many rows, each with its own URL and a caption of 60 characters."""
    rows = (
        (f"https://38.media.tumblr.com/{number:032x}/tumblr_{number:06x}_500.gif", f"{number:060d}"[:58] + " a")
        for number in range(num_rows)
    )
    path = folder / f"listing.{form}"
    if form == "tars":
        return _write_tars(folder, num_rows)
    if form == "parquet":
        urls, captions = zip(*rows, strict=True)
        pq.write_table(pa.table({"url": urls, "caption": captions}), path)
        return path
    with path.open("w", encoding="utf-8") as file:
        if form == "csv":
            file.write("url,caption\n")
        for url, caption in rows:
            if form == "jsonl":
                file.write(json.dumps({"url": url, "caption": caption}) + "\n")
            else:
                file.write(f"{url}{',' if form == 'csv' else chr(9)}{caption}\n")
    return path


def _write_tars(folder: Path, num_rows: int) -> Path:
    """Write WebDataset tars of _ROWS_PER_TAR members of a few bytes, each with its caption; return their pattern."""
    for first in range(0, num_rows, _ROWS_PER_TAR):
        with tarfile.open(folder / f"{first // _ROWS_PER_TAR:05d}.tar", "w") as archive:
            for row in range(first, min(first + _ROWS_PER_TAR, num_rows)):
                for suffix, data in (("gif", b"GIF"), ("txt", b"%060d" % row)):
                    info = tarfile.TarInfo(f"tumblr_{row:06x}_500.{suffix}")
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
    return folder / "*.tar"


def read_rows(path: Path) -> dict[str, Any]:
    """Read a listing once in this process."""
    imported_mb = read_peak_mb()
    options = RunOptions(listing=path, out=path.parent / "out")
    start_s, cpu_s = time.monotonic(), time.process_time()
    catalog = read_catalog(read_listing(options), options, CurationConfig())
    return {
        "seconds": time.monotonic() - start_s,
        "cpu_s": time.process_time() - cpu_s,
        "imported_mb": imported_mb,
        "peak_mb": read_peak_mb(),
        "num_rows": len(catalog.rows),
    }


def main() -> None:
    """Read listings of many rows, each in a process of its own, and print a table."""
    parser = make_parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--read", type=Path, help="Read this listing once, in this process.")
    args = parser.parse_args()
    if args.read:
        print(json.dumps(read_rows(args.read)))
        return
    print(f"{describe_machine('pyarrow')}\n{args.rows:,} rows.\n")
    print_header("form", "file, MB", "peak memory, MB", "after import, MB", "bytes per row", "s", "cpu, us per row")
    for form in FORMS:
        with tempfile.TemporaryDirectory() as folder:
            path = write_rows(Path(folder), form, args.rows)
            words = [sys.executable, "-m", "benchmarks.listings", "--read", str(path)]
            done = subprocess.run(words, check=True, stdout=subprocess.PIPE, cwd=ROOT)  # noqa: S603
            size_mb = sum(file.stat().st_size for file in path.parent.glob(path.name)) / 1e6
        one = json.loads(done.stdout.splitlines()[-1])
        if one["num_rows"] != args.rows:
            raise RuntimeError(f"{form}: {one['num_rows']} rows were read instead of {args.rows}")
        per_row = (one["peak_mb"] - one["imported_mb"]) * 1e6 / args.rows
        memory = (f"{one['peak_mb']:,.0f}", f"{one['imported_mb']:,.0f}", f"{per_row:,.0f}")
        print_row(form, f"{size_mb:,.0f}", *memory, f"{one['seconds']:.1f}", f"{1e6 * one['cpu_s'] / args.rows:.1f}")


if __name__ == "__main__":
    main()
