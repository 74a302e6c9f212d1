"""How fast one worker of the loader is, against bare JPEG decoding and plain webdataset, in one run.

    python benchmarks/loader.py [--data DIR] [--rounds 7] [--samples 1600]

Without --data, GIFs are drawn and curated in a temporary folder. Every way reads the same shards; rounds alternate, and
a ratio is the median of the ratios of its rounds, so that a busy machine slows both sides. Prints Markdown.

bare: the bytes lie in memory; Pillow decodes both pictures of a sample to RGB arrays, which is what any loader must do.
loader: one worker process, random access over all shards, flips, batches of 16 in the trainer's process.
webdataset: one worker process, in the shards' order through a shuffle buffer, decoded to uint8 tensors, batches of 16.
"""

import argparse
import dataclasses
import io
import os
import resource
import statistics
import subprocess
import sys
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

from shards.manifest import read_manifest
from shards.reader import read_shard
from training.data import BatchStream, DataConfig

BATCH = 16
WARM_UP = 8
Pair = tuple[bytes, bytes]


def draw(folder: Path) -> Path:
    """Draw GIFs and curate them by the project's own commands."""
    curate, listing = str(Path(sys.executable).with_name("pix2gif-curate")), str(folder / "gifs" / "listing.tsv")
    commands = (
        [sys.executable, "examples/draw_gifs.py", str(folder / "gifs"), "--gifs", "120"],
        [curate, listing, "--out", str(folder / "shards"), "--samples-per-shard", "200"],
    )
    for command in commands:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 # Ours.
    return folder / "shards"


@dataclasses.dataclass(frozen=True)
class Rate:
    """Samples a second."""

    of_clock: float
    """Once the first batches were there."""
    of_cpu: float
    """Of processor time that the process which decodes has used, its start too: what a busy machine changes least."""


def cpu_of_workers() -> float:
    """Give the processor time in seconds of all child processes that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def take(batches: Iterator[Any], num_samples: int) -> Rate:
    """Read `num_samples` to the end, where a worker makes them."""
    cpu = cpu_of_workers()
    for _ in range(WARM_UP):
        next(batches)
    start = time.perf_counter()
    num_batches = sum(1 for _ in batches)
    seconds = time.perf_counter() - start
    if num_batches + WARM_UP != num_samples // BATCH:
        raise RuntimeError(f"{num_batches + WARM_UP} batches came, not {num_samples // BATCH}")
    return Rate(num_batches * BATCH / seconds, num_samples / (cpu_of_workers() - cpu))


def bare(pairs: list[Pair], decode: Callable[[bytes], Any], num_samples: int) -> Rate:
    """Decode both pictures of samples."""
    chosen = [pairs[number % len(pairs)] for number in range(num_samples)]
    start, cpu = time.perf_counter(), time.process_time()
    for source, target in chosen:
        decode(source)
        decode(target)
    return Rate(num_samples / (time.perf_counter() - start), num_samples / (time.process_time() - cpu))


def with_pillow(data: bytes) -> np.ndarray:
    """Decode to an array."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def with_pillow_inside(data: bytes) -> None:
    """Decode to Pillow's own memory, where no tensor can be made of it."""
    Image.open(io.BytesIO(data)).load()


def with_opencv(data: bytes) -> np.ndarray:
    """Decode to an array."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def loader(folder: Path, num_samples: int) -> Rate:
    """Read through the project's loader."""
    config = DataConfig(location=str(folder), global_batch=BATCH, micro_batch=BATCH, num_workers=1)
    with BatchStream(config, num_steps=num_samples // BATCH) as stream:
        return take(iter(stream), num_samples)


def plain_webdataset(folder: Path, num_samples: int) -> Rate:
    """Read through the pipeline that webdataset's own pages show."""
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
    return take(iter(wds.WebLoader(dataset, batch_size=None, num_workers=1, prefetch_factor=4)), num_samples)


def main() -> None:
    """Run all ways in turn and print what came out."""
    parser = argparse.ArgumentParser(description="Measure one worker of the loader.")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--samples", type=int, default=1600)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_CACHE_HOME"] = scratch
        compare(args.data or draw(Path(scratch)), args.rounds, args.samples)


def compare(folder: Path, rounds: int, num_samples: int) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    shards = read_manifest(folder).splits["train"].shards
    pairs = [(one.source, one.target) for shard in shards for one in read_shard(folder / "train" / shard.name)]
    ways: dict[str, Callable[[], Rate]] = {
        "bare decoding, Pillow to an array": lambda: bare(pairs, with_pillow, num_samples),
        "bare decoding, Pillow, no array": lambda: bare(pairs, with_pillow_inside, num_samples),
        "bare decoding, OpenCV to an array": lambda: bare(pairs, with_opencv, num_samples),
        "loader, one worker": lambda: loader(folder, num_samples),
        "plain webdataset, one worker": lambda: plain_webdataset(folder, num_samples),
    }
    figures: dict[str, list[Rate]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            figures[name].append(way())
    num_bytes = statistics.mean(len(picture) for pair in pairs for picture in pair)
    print(f"{len(pairs):,} samples of {num_bytes / 1e3:.1f} kB a picture in {len(shards)} shards, {rounds} rounds of")
    print(
        f"{num_samples:,} samples; torch {torch.__version__}, webdataset {wds.__version__}, OpenCV {cv2.__version__}.\n"
    )
    print("| | samples/s | of bare | samples/s of processor time | of bare |\n|---|---|---|---|---|")
    first = figures[next(iter(ways))]
    for name, rates in figures.items():
        cells = []
        for kind in ("of_clock", "of_cpu"):
            cells.append(f"{statistics.median(getattr(rate, kind) for rate in rates):,.0f}")
            cells.append(f"{ratio(rates, first, kind):.2f}")
        print(f"| {name} | {' | '.join(cells)} |")
    ours, theirs = figures["loader, one worker"], figures["plain webdataset, one worker"]
    clock, cpu = (ratio(ours, theirs, kind) for kind in ("of_clock", "of_cpu"))
    print(f"\nThe loader is {clock:.2f} times as fast as plain webdataset, {cpu:.2f} times by processor time.")


def ratio(rates: list[Rate], others: list[Rate], kind: str) -> float:
    """Give the median of the rounds' ratios."""
    return statistics.median(getattr(a, kind) / getattr(b, kind) for a, b in zip(rates, others, strict=True))


if __name__ == "__main__":
    main()
