"""Time making a data set again with other thresholds: against the first run, and against decoding and encoding alone.

    python benchmarks/regenerate.py LISTING [--workers 2]

Curates LISTING, then again with motion of 3 to 15 px from its flow table, by `pix2gif-curate --flow` and by
`pix2gif resplit`. The floor is what no way can do without: a pool of as many processes, its start not counted, that
decodes the kept clips and encodes the frames of kept pairs, and writes nothing.
"""

import argparse
import collections
import multiprocessing
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from curation.config import CurationConfig
from curation.decode import FrameDecoder
from curation.export import encode_picture
from shards.manifest import read_manifest
from shards.reader import read_shard

Job = tuple[Path, frozenset[int]]
_BIN = Path(sys.executable).parent
_NARROWER = ["--min-motion", "3", "--max-motion", "15"]


def timed(*words: object) -> tuple[float, float]:
    """Run a command; returns its wall time, and of that the time without the start and the stop of the workers."""
    start = time.perf_counter()
    ended = subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True)  # noqa: S603
    seconds = time.perf_counter() - start
    around = sum(float(found) for found in re.findall(r"(?:: |, )(?:start|stop) ([0-9.]+)", ended.stdout))
    return seconds, seconds - around


def encode(job: Job) -> int:
    """Decode a GIF and encode some of its frames, as an export does."""
    path, wanted = job
    config = CurationConfig()
    frames = FrameDecoder(path.read_bytes(), config.resolution, wanted)
    return sum(len(encode_picture(frame.rgb, config)) for frame in frames if frame.rgb is not None)


def kept_frames(out: Path, folder: Path) -> list[Job]:
    """List the clips of a data set and the frames of each that stand in its samples."""
    wanted: dict[str, set[int]] = collections.defaultdict(set)
    for split, entry in read_manifest(out).splits.items():
        for shard in entry.shards:
            for sample in read_shard(out / split / shard.name):
                wanted[sample.record.clip_key] |= {sample.record.source_index, sample.record.target_index}
    rows = pq.read_table(out / "clips.parquet", columns=["clip_key", "uri"]).to_pylist()
    uris = {row["clip_key"]: row["uri"] for row in rows}
    return [(folder / uris[key], frozenset(frames)) for key, frames in wanted.items()]


def time_floor(jobs: list[Job], workers: int) -> float:
    """Time the pool, once its processes have loaded what they need."""
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.map(encode, jobs[:1] * (4 * workers), chunksize=1)
        start = time.perf_counter()
        for _ in pool.imap_unordered(encode, jobs):
            pass
        return time.perf_counter() - start


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description="Time regenerating a data set.")
    parser.add_argument("listing", type=Path)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    fixed = ["--workers", args.workers]
    with tempfile.TemporaryDirectory() as folder:
        first, again, remade = (Path(folder) / name for name in ("first", "again", "remade"))
        curate = [_BIN / "pix2gif-curate", args.listing, "--val-fraction", "0", *fixed]
        load = os.getloadavg()[0]
        times = {
            "first run": timed(*curate, "--out", first),
            "pix2gif-curate --flow": timed(*curate, "--out", again, "--flow", first / "flow", *_NARROWER),
            "pix2gif resplit": timed(_BIN / "pix2gif", "resplit", first, "--out", remade, *fixed, *_NARROWER),
        }
        floor = time_floor(kept_frames(again, args.listing.parent), args.workers)
    print(f"{platform.processor() or platform.machine()}, {args.workers} workers, load {load:.1f} before the start\n")
    print("| | seconds | without start and stop of workers | first run over it | over the floor |")
    print("|---|---|---|---|---|")
    for name, (whole, within) in times.items():
        ratio, over = times["first run"][0] / whole, within / floor
        print(f"| {name} | {whole:.1f} | {within:.1f} | {ratio:.2f} | {over:.2f} |")
    print(f"| decoding and encoding alone | {floor:.1f} | {floor:.1f} | | 1.00 |")


if __name__ == "__main__":
    main()
