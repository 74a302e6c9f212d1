"""Time making a data set again with other thresholds: against the first run, and against decoding and encoding alone.

    python benchmarks/regenerate.py LISTING [--workers 2]

With `--workers 0` all is done in one process and its sandbox, and processor time is whole: use it on a busy machine.

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
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from curation.config import CurationConfig
from curation.decode.decoder import FrameDecoder
from curation.export.encode import encode_picture
from shards.manifest import read_manifest
from shards.reader import read_shard

Job = tuple[Path, frozenset[int]]
_BIN = Path(sys.executable).parent
_NARROWER = ["--min-motion", "3", "--max-motion", "15"]


def timed(*words: object) -> tuple[float, float, float]:
    """Run a command; returns its wall time, that without the start and stop of the workers, and processor time."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    around = sum(float(found) for found in re.findall(r"(?:: |, )(?:start|stop) ([0-9.]+)", ended.stdout))
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, seconds - around, processor


def encode(job: Job) -> float:
    """Decode a GIF and encode some of its frames, as an export does; returns the processor time it took."""
    path, wanted = job
    config, start = CurationConfig(), time.process_time()
    for frame in FrameDecoder(path.read_bytes(), config.resolution, wanted):
        if frame.rgb is not None:
            encode_picture(frame.rgb, config)
    return time.process_time() - start


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


def time_floor(jobs: list[Job], workers: int) -> tuple[float, float]:
    """Time the pool, once its processes have loaded what they need; returns wall time and processor time."""
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.map(encode, jobs[:1] * (4 * workers), chunksize=1)
        start = time.perf_counter()
        processor = sum(pool.imap_unordered(encode, jobs))
        return time.perf_counter() - start, processor


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
        floor = time_floor(kept_frames(again, args.listing.parent), max(args.workers, 1))
    print(f"{platform.processor() or platform.machine()}, {args.workers} workers, load {load:.1f} before the start\n")
    print("| | seconds | without start and stop of workers | processor seconds |\n|---|---|---|---|")
    for name, seconds in times.items():
        print(f"| {name} | " + " | ".join(f"{one:.1f}" for one in seconds) + " |")
    print(f"| decoding and encoding alone | {floor[0]:.1f} | {floor[0]:.1f} | {floor[1]:.1f} |\n")
    first_run = times.pop("first run")
    for name, seconds in times.items():
        faster = first_run[0] / seconds[0], first_run[2] / seconds[2]
        over = seconds[1] / floor[0], seconds[2] / floor[1]
        print(f"{name}: the first run takes {faster[0]:.2f} times as long ({faster[1]:.2f} in processor time)")
        print(f"{name}: over the floor {over[0]:.2f} ({over[1]:.2f} in processor time)")


if __name__ == "__main__":
    main()
