"""Time making a data set again with other thresholds, against the first run and against decoding and encoding alone.

    python -m benchmarks.regenerate LISTING [--workers 2]

Curates LISTING, then again with motion of 3 to 15 px from its flow table, by `pix2gif-curate --flow` and by
`pix2gif resplit`. Ratios use the time of the stages, without the start and stop of Ray. The lower bound is a pool of
as many processes that decodes the kept clips and encodes the frames of kept pairs; its start is not counted.

With `--workers 0` everything runs in one process and its sandbox. Processor times are then complete, so they can be
compared on a busy machine.
"""

import collections
import dataclasses
import multiprocessing
import re
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.helpers import CURATE, PIX2GIF, count_cores, describe_machine, make_parser, print_header, print_row
from curation.config import CurationConfig
from curation.decode.decoder import FrameDecoder
from curation.export.encode import encode_picture
from shards.manifest import read_manifest
from shards.reader import read_shard

Job = tuple[Path, frozenset[int]]
"""A GIF, and the indices of the frames to encode."""

_NARROWER = ["--min-motion", "3", "--max-motion", "15"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Times:
    """Times of one command, in seconds."""

    wall_s: float
    """From the start of the process to its end."""
    stages_s: float
    """The stages of the run, without starting Ray."""
    cpu_s: float
    """Processor time of the process and its children. It lacks that of Ray's workers."""


def time_command(*words: object) -> Times:
    """Run a command that curates, and return its times."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    wall_s, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    stages = re.search(r"([0-9.]+) s: (.*)", ended.stdout)
    if stages is None:
        raise SystemExit(f"the command printed no times of its stages:\n{ended.stdout}")
    ray_start = re.search(r"\bstart ([0-9.]+)", stages[2])
    return Times(
        wall_s=wall_s,
        stages_s=float(stages[1]) - (float(ray_start[1]) if ray_start else 0.0),
        cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )


def encode(job: Job) -> float:
    """Decode a GIF and encode some of its frames, as an export does; return the processor time in seconds."""
    path, wanted = job
    config, start = CurationConfig(), time.process_time()
    for frame in FrameDecoder(path.read_bytes(), config.resolution, max_pixels=config.max_pixels, wanted=wanted):
        encode_picture(frame.rgb, config)
    return time.process_time() - start


def list_jobs(out: Path, folder: Path) -> list[Job]:
    """List the clips of a data set and the frames of each that are in its samples."""
    wanted: dict[str, set[int]] = collections.defaultdict(set)
    for split, entry in read_manifest(out).splits.items():
        for shard in entry.shards:
            for sample in read_shard(out / split / shard.name):
                wanted[sample.record.clip_key] |= {sample.record.source_index, sample.record.target_index}
    rows = pq.read_table(out / "clips.parquet", columns=["clip_key", "uri"]).to_pylist()
    uris = {row["clip_key"]: row["uri"] for row in rows}
    return [(folder / uris[key], frozenset(frames)) for key, frames in wanted.items()]


def time_lower_bound(jobs: list[Job], workers: int) -> Times:
    """Time a pool that only decodes and encodes, after its processes have imported what they need."""
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.map(encode, jobs[:1] * (4 * workers), chunksize=1)
        start = time.perf_counter()
        cpu_s = sum(pool.imap_unordered(encode, jobs))
        seconds = time.perf_counter() - start
    return Times(wall_s=seconds, stages_s=seconds, cpu_s=cpu_s)


def main() -> None:
    """Run the three commands and the pool, and print their times and ratios."""
    parser = make_parser(__doc__)
    parser.add_argument("listing", type=Path)
    parser.add_argument("--workers", type=int, default=count_cores())
    args = parser.parse_args()
    fixed = ["--workers", args.workers]
    with tempfile.TemporaryDirectory() as folder:
        first, again, resplit = (Path(folder) / name for name in ("first", "again", "resplit"))
        curate = [CURATE, args.listing, "--val-fraction", "0", *fixed]
        machine = describe_machine()
        first_run = time_command(*curate, "--out", first)
        regenerated = {
            "pix2gif-curate --flow": time_command(*curate, "--out", again, "--flow", first / "flow", *_NARROWER),
            "pix2gif resplit": time_command(PIX2GIF, "resplit", first, "--out", resplit, *fixed, *_NARROWER),
        }
        lower_bound = time_lower_bound(list_jobs(again, args.listing.parent), max(args.workers, 1))
    print(f"{machine}\n{args.workers} workers.\n")
    print_header("", "wall time, s", "stages without Ray's start, s", "processor time, s")
    for name, times in {"first run": first_run, **regenerated, "decoding and encoding alone": lower_bound}.items():
        print_row(name, f"{times.wall_s:.1f}", f"{times.stages_s:.1f}", f"{times.cpu_s:.1f}")
    print()
    for name, times in regenerated.items():
        faster = first_run.stages_s / times.stages_s, first_run.cpu_s / times.cpu_s
        over = times.stages_s / lower_bound.stages_s, times.cpu_s / lower_bound.cpu_s
        print(f"{name}: {faster[0]:.2f} times as fast as the first run ({faster[1]:.2f} in processor time)")
        print(f"{name}: {over[0]:.2f} times the lower bound ({over[1]:.2f} in processor time)")


if __name__ == "__main__":
    main()
