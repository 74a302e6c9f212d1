"""Measure one worker of the data loader against bare JPEG decoding and plain webdataset.

    python -m benchmarks.loader [--data DIR] [--rounds 7] [--samples 1600]

Without --data, GIFs are drawn and curated in a temporary folder. All ways read the same shards in alternating rounds. A
ratio is the median of the ratios of the rounds, so a busy machine slows both sides. Prints Markdown.

bare: decode both pictures of a sample from memory to RGB arrays, the minimum that any loader has to do.
loader: one worker process, random access over all shards, flips, batches of 16 in the trainer's process.
webdataset: one worker process, shard order through a shuffle buffer, decoded to uint8 tensors, batches of 16.
"""

import dataclasses
import io
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import webdataset as wds
from PIL import Image

from benchmarks.helpers import describe_machine, draw_dataset, make_parser, print_header, print_row
from shards.manifest import read_manifest
from shards.reader import read_shard
from training.data import BatchStream, DataConfig

BATCH = 16
WARM_UP = 8
Pair = tuple[bytes, bytes]


@dataclasses.dataclass(frozen=True)
class Rate:
    """Samples per second."""

    per_wall_s: float
    """After the first batches."""
    per_cpu_s: float
    """Per second of processor time of the decoding process, including its start. A busy machine changes it least."""


def read_worker_cpu_s() -> float:
    """Return the processor time in seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure_batches(batches: Iterator[Any], num_samples: int) -> Rate:
    """Read `num_samples` samples that a worker process decodes."""
    cpu = read_worker_cpu_s()
    for _ in range(WARM_UP):
        next(batches)
    start = time.perf_counter()
    num_batches = sum(1 for _ in batches)
    seconds = time.perf_counter() - start
    if num_batches + WARM_UP != num_samples // BATCH:
        raise RuntimeError(f"{num_batches + WARM_UP} batches were read instead of {num_samples // BATCH}")
    return Rate(num_batches * BATCH / seconds, num_samples / (read_worker_cpu_s() - cpu))


def measure_bare(pairs: list[Pair], decode: Callable[[bytes], Any], num_samples: int) -> Rate:
    """Decode both pictures of `num_samples` samples."""
    chosen = [pairs[number % len(pairs)] for number in range(num_samples)]
    start, cpu = time.perf_counter(), time.process_time()
    for source, target in chosen:
        decode(source)
        decode(target)
    return Rate(num_samples / (time.perf_counter() - start), num_samples / (time.process_time() - cpu))


def decode_pillow(data: bytes) -> np.ndarray:
    """Decode to an array."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def load_pillow(data: bytes) -> None:
    """Decode to Pillow's own memory, without a copy to an array."""
    Image.open(io.BytesIO(data)).load()


def decode_opencv(data: bytes) -> np.ndarray:
    """Decode to an array."""
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB))


def measure_loader(folder: Path, num_samples: int) -> Rate:
    """Read with the project's loader."""
    config = DataConfig(location=str(folder), global_batch=BATCH, micro_batch=BATCH, num_workers=1)
    with BatchStream(config, num_steps=num_samples // BATCH) as stream:
        return measure_batches(iter(stream), num_samples)


def measure_webdataset(folder: Path, num_samples: int) -> Rate:
    """Read with the pipeline that the documentation of webdataset shows."""
    paths = sorted(str(path) for path in (folder / "train").glob("*.tar"))
    dataset = (
        wds.WebDataset(paths, shardshuffle=len(paths))
        .shuffle(1000)
        .decode("torchrgb8")
        .to_tuple("source.jpg", "target.jpg", "json")
        .batched(BATCH)
        .repeat()
        .with_epoch(num_samples // BATCH)
    )
    return measure_batches(iter(wds.WebLoader(dataset, batch_size=None, num_workers=1, prefetch_factor=4)), num_samples)


def main() -> None:
    """Find or draw the data set and compare all ways."""
    parser = make_parser(__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--samples", type=int, default=1600)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_CACHE_HOME"] = scratch
        compare(args.data or draw_dataset(Path(scratch), 120, "--samples-per-shard", "200"), args.rounds, args.samples)


def compare(folder: Path, rounds: int, num_samples: int) -> None:
    """Measure all ways in alternating rounds and print the table."""
    torch.set_num_threads(1)
    shards = read_manifest(folder).splits["train"].shards
    pairs = [(one.source, one.target) for shard in shards for one in read_shard(folder / "train" / shard.name)]
    ways: dict[str, Callable[[], Rate]] = {
        "bare decoding, Pillow to an array": lambda: measure_bare(pairs, decode_pillow, num_samples),
        "bare decoding, Pillow, no array": lambda: measure_bare(pairs, load_pillow, num_samples),
        "bare decoding, OpenCV to an array": lambda: measure_bare(pairs, decode_opencv, num_samples),
        "loader, one worker": lambda: measure_loader(folder, num_samples),
        "plain webdataset, one worker": lambda: measure_webdataset(folder, num_samples),
    }
    figures: dict[str, list[Rate]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            figures[name].append(way())
    num_bytes = statistics.mean(len(picture) for pair in pairs for picture in pair)
    print(describe_machine("torch", "webdataset", "opencv-python-headless", "pillow"))
    print(f"{len(pairs):,} samples of {num_bytes / 1e3:.1f} kB a picture in {len(shards)} shards,")
    print(f"{rounds} rounds of {num_samples:,} samples.\n")
    print_header("", "samples/s", "of bare", "samples/s of processor time", "of bare")
    first = figures[next(iter(ways))]
    for name, rates in figures.items():
        cells: list[str] = []
        for kind in ("per_wall_s", "per_cpu_s"):
            cells.append(f"{statistics.median(getattr(rate, kind) for rate in rates):,.0f}")
            cells.append(f"{median_ratio(rates, first, kind):.2f}")
        print_row(name, *cells)
    loader, webdataset = figures["loader, one worker"], figures["plain webdataset, one worker"]
    clock, cpu = (median_ratio(loader, webdataset, kind) for kind in ("per_wall_s", "per_cpu_s"))
    print(f"\nThe loader is {clock:.2f} times as fast as plain webdataset, {cpu:.2f} times by processor time.")


def median_ratio(rates: list[Rate], others: list[Rate], kind: str) -> float:
    """Return the median of the ratios of the rounds."""
    return statistics.median(float(getattr(a, kind) / getattr(b, kind)) for a, b in zip(rates, others, strict=True))


if __name__ == "__main__":
    main()
