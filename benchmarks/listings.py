"""Compare the forms of a listing: shards, memory of driver and workers, and what a row of a long listing takes.

    python -m benchmarks.listings forms LISTING [--workers 1]
    python -m benchmarks.listings rows [--rows 1000000]

`forms` writes the GIFs of a TGIF-style listing in every form (examples/listing_forms.py), curates each by the command,
and prints whether the shards are the same, the peak memory of the driver and of the largest worker process, and what
was written outside OUT. `rows` reads a listing of that many rows of each form in a process of its own, as a run's first
stage does. Memory is the peak as the kernel counts it. Both print Markdown.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from curation.config import CurationConfig
from curation.fetch.read_listing import read_listing
from curation.listing.catalog import read_catalog
from curation.options import RunOptions
from examples.listing_forms import read_gifs, write_forms

ROOT = Path(__file__).resolve().parents[1]
PIX2GIF = str(Path(sys.executable).with_name("pix2gif"))
FORMS: dict[str, list[str]] = {
    "TGIF's TSV": ["captions.tsv"],
    "CSV": ["captions.csv"],
    "JSON Lines": ["captions.jsonl"],
    "Parquet of paths": ["captions.parquet"],
    "Parquet of bytes": ["bytes.parquet"],
    "a zip beside a TSV": ["captions.tsv", "--gifs", "gifs.zip", "--gifs-by", "path"],
    "WebDataset tars": ["tars/{00000..00001}.tar"],
    "a folder": ["."],
}
_SAMPLED_EVERY_S = 0.05
_ROWS_PER_TAR = 10_000


def compare_forms(listing: Path, workers: int) -> None:
    """Curate the GIFs of a listing in every form, and print a table."""
    first = None
    print("| form | shards | written outside OUT | driver, MB | largest worker process, MB | s |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "in")
        write_forms(read_gifs(listing), source)
        before = _list_files(source)
        for name, words in FORMS.items():
            out = Path(folder, "out", name.replace(" ", "_"))
            memory_mb, seconds = _curate(words, source, out, workers)
            hashes = _hash_shards(out)
            first = first or hashes
            same = "the same" if hashes == first else "OTHER"
            outside = len(_list_files(source) ^ before)
            memory = " | ".join(f"{peak:,.0f}" for peak in memory_mb)
            print(f"| {name} | {len(hashes)}, {same} | {outside} files | {memory} | {seconds:,.1f} |")
            sys.stdout.flush()


def _curate(words: list[str], source: Path, out: Path, workers: int) -> tuple[tuple[float, float], float]:
    """Run the command; return the peak memory of the driver and of the largest process below it, and the time."""
    start_s = time.monotonic()
    command = [PIX2GIF, "curate", *words, "--out", str(out), "--workers", str(workers), "--quiet"]
    process = subprocess.Popen(command, cwd=source, env={**os.environ, "PYTHONPATH": str(ROOT)})  # noqa: S603
    sampler = _Sampler(process.pid)
    sampler.start()
    if process.wait():
        raise SystemExit(f"{' '.join(command)} failed")
    seconds = time.monotonic() - start_s
    sampler.stop()
    return (sampler.driver_mb, sampler.worker_mb), seconds


class _Sampler(threading.Thread):
    """Reads the memory peaks of a process, and of the workers and sandboxes below it."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.driver_mb = self.worker_mb = 0.0
        self._pid = pid
        self._is_stopped = threading.Event()

    def run(self) -> None:
        """Sample until stopped."""
        while not self._is_stopped.wait(_SAMPLED_EVERY_S):
            self.driver_mb = max(self.driver_mb, _peak_mb(self._pid))
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in psutil.Process(self._pid).children(recursive=True):
                    if _is_worker(process.pid):
                        self.worker_mb = max(self.worker_mb, _peak_mb(process.pid))

    def stop(self) -> None:
        """End the thread."""
        self._is_stopped.set()
        self.join()


def _is_worker(pid: int) -> bool:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"sandbox_child" in line or line.startswith(b"ray::")


def _peak_mb(pid: int) -> float:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    return 0.0


def _hash_shards(out: Path) -> dict[str, str]:
    paths = sorted(out.glob("*/*.tar"))
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _list_files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


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
    num_tars = -(-num_rows // _ROWS_PER_TAR)
    for number in range(num_tars):
        with tarfile.open(folder / f"{number:05d}.tar", "w") as archive:
            for row in range(number * _ROWS_PER_TAR, min((number + 1) * _ROWS_PER_TAR, num_rows)):
                for name, data in (
                    (f"tumblr_{row:06x}_500.gif", b"GIF"),
                    (f"tumblr_{row:06x}_500.txt", b"%060d" % row),
                ):
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
    return folder / "*.tar"


def read_rows(path: Path) -> dict[str, Any]:
    """Read a listing once in this process."""
    imported_mb = _peak_mb(os.getpid())
    options = RunOptions(listing=path, out=path.parent / "out")
    start_s, cpu_s = time.monotonic(), time.process_time()
    catalog = read_catalog(read_listing(options), options, CurationConfig())
    return {
        "seconds": time.monotonic() - start_s,
        "cpu_s": time.process_time() - cpu_s,
        "imported_mb": imported_mb,
        "peak_mb": _peak_mb(os.getpid()),
        "num_rows": len(catalog.rows),
    }


def compare_rows(num_rows: int) -> None:
    """Read listings of many rows, each in a process of its own, and print a table."""
    print(f"{num_rows:,} rows\n")
    print("| form | file, MB | peak memory, MB | after import, MB | bytes per row | s | cpu, us per row |")
    print("|---|---|---|---|---|---|---|")
    for form in ("tsv", "csv", "jsonl", "parquet", "tars"):
        with tempfile.TemporaryDirectory() as folder:
            path = write_rows(Path(folder), form, num_rows)
            words = [sys.executable, "-m", "benchmarks.listings", "read", str(path)]
            done = subprocess.run(words, check=True, stdout=subprocess.PIPE, cwd=ROOT)  # noqa: S603
            one = json.loads(done.stdout.splitlines()[-1])
            size_mb = sum(file.stat().st_size for file in path.parent.glob(path.name)) / 1e6
        per_row = (one["peak_mb"] - one["imported_mb"]) * 1e6 / num_rows
        print(
            f"| {form} | {size_mb:,.0f} | {one['peak_mb']:,.0f} | {one['imported_mb']:,.0f} | {per_row:,.0f} "
            f"| {one['seconds']:.1f} | {1e6 * one['cpu_s'] / num_rows:.1f} |"
        )
        sys.stdout.flush()


def main() -> None:
    """Run a comparison."""
    parser = argparse.ArgumentParser(description="Compare the forms of a listing.")
    commands = parser.add_subparsers(dest="command", required=True)
    forms = commands.add_parser("forms")
    forms.add_argument("listing", type=Path)
    forms.add_argument("--workers", type=int, default=1)
    rows = commands.add_parser("rows")
    rows.add_argument("--rows", type=int, default=1_000_000)
    read = commands.add_parser("read")
    read.add_argument("path", type=Path)
    args = parser.parse_args()
    if args.command == "forms":
        compare_forms(args.listing, args.workers)
    elif args.command == "rows":
        compare_rows(args.rows)
    else:
        print(json.dumps(read_rows(args.path)))


if __name__ == "__main__":
    main()
