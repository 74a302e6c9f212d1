"""Measure speed and memory of the training step, against a plain loop in the style of diffusers' examples.

    python -m benchmarks.training_step --size tiny --batch-sizes 1,4,8 --steps 8
    python -m benchmarks.training_step --size sd15 --batch-sizes 16,32,64 --steps 30 --precision bf16

The first command runs on a laptop; the second needs a GPU with 80 GB or more. Weights are random. The data set is drawn
and curated here, or given by --data. A GPU is used if there is one. Each row is measured in its own process, so that
its peak memory is its own, after --warm-up steps. Prints Markdown.

plain: `benchmarks/plain_train.py`: pictures, not compiled, fused or channels-last, without prefetch.
pictures: the trainer's step on pictures; latents: on a latent cache; +compile: with torch.compile.

images/s counts pairs. MFU is the FLOP/s of matrix products and convolutions, frozen parts included, as a share of the
device's peak: the vendor's figure for a GPU, a large matrix product in the same process for a CPU.
"""

import argparse
import dataclasses
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.helpers import describe_machine, draw_dataset, make_parser, print_header, print_row, read_peak_mb
from benchmarks.plain_train import plain_steps
from training.runtime.guards import StopRequest
from training.runtime.libraries import silence_libraries
from training.runtime.peak_flops import find_peak_flops
from training.runtime.throughput import Throughput
from training.trainer.config import TrainingConfig, tiny
from training.trainer.encode_latents import encode_dataset
from training.trainer.flops import count_sample_flops
from training.trainer.prefetch import Prefetcher
from training.trainer.trainer import Trainer

WAYS = ("plain", "pictures", "pictures+compile", "latents", "latents+compile")
Row = dict[str, Any]
"""One row of the table: `way`, `batch`, and its figures by name, or why it `failed`."""
RESOLUTION = {"tiny": 128, "sd15": 256}
NUM_GIFS = {"tiny": 12, "sd15": 24}


def make_config(args: argparse.Namespace, way: str, batch: int) -> TrainingConfig:
    """Return the config of a step with one micro-batch."""
    has_gpu = torch.cuda.is_available()
    return dataclasses.replace(
        tiny(),
        random_size=args.size,
        resolution=RESOLUTION[args.size],
        global_batch=batch,
        micro_batch=batch,
        max_steps=10**9,
        learning_rate=1e-5,
        precision=args.precision or ("bf16" if has_gpu else "no"),
        compile=way.endswith("+compile"),
        channels_last=has_gpu,
        num_workers=args.workers,
    )


def draw_data(folder: Path, size: str) -> Path:
    """Draw GIFs and curate them; return the data set."""
    options = ["--resolution", str(RESOLUTION[size]), "--samples-per-shard", "40", "--workers", "0"]
    return draw_dataset(folder, NUM_GIFS[size], *options)


def measure(args: argparse.Namespace, way: str, batch: int) -> Row:
    """Measure one row of the table, in this process."""
    silence_libraries()
    config = make_config(args, way, batch)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    figures = (
        measure_plain(args, config, args.data, device) if way == "plain" else measure_trainer(args, config, args.data)
    )
    memory_bytes = torch.cuda.max_memory_allocated() if device.type == "cuda" else read_peak_mb() * 1e6
    return {"way": way, "batch": batch, "memory_bytes": memory_bytes, **figures}


def measure_plain(
    args: argparse.Namespace, config: TrainingConfig, data: Path, device: torch.device
) -> dict[str, float]:
    """Time the plain loop. It reads the loss after every step, so the GPU is idle when the clock is read."""
    steps = plain_steps(config, data, device)
    for _ in range(args.warm_up):
        next(steps)
    start = time.perf_counter()
    for _ in range(args.steps):
        next(steps)
    return {"images_per_s": args.steps * config.micro_batch / (time.perf_counter() - start)}


def measure_trainer(args: argparse.Namespace, config: TrainingConfig, data: Path) -> dict[str, float]:
    """Time the trainer's steps with its own throughput counter."""
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(config, str(data), Path(out))
    device = trainer.accelerator.device
    throughput = Throughput(device, config.precision)
    stop = StopRequest()
    with trainer.stream:
        batches = iter(trainer.stream)
        flops = count_sample_flops(trainer.model, trainer.loss_step, next(batches))
        num_steps = args.warm_up + args.steps
        limited = itertools.islice(batches, num_steps * trainer.stream.batches_per_step)
        prefetcher = Prefetcher(limited, trainer.loss_step, throughput)
        for number in range(num_steps):
            if number == args.warm_up:
                synchronize(device)
                throughput.read()
            trainer.take_step(prefetcher, stop)
            throughput.count(config.global_batch)
        synchronize(device)
        readings = throughput.read()
    peak = throughput.peak_flops or measure_peak(device)
    return {
        "images_per_s": readings["images_per_s"],
        "data_wait": readings["data_wait"],
        "flops": flops,
        "peak_flops": peak,
    }


def synchronize(device: torch.device) -> None:
    """Wait until a GPU is idle."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure_peak(device: torch.device, side: int = 2048, rounds: int = 3) -> float:
    """Return the FLOP/s of the fastest of a few large matrix products in float32."""
    matrix, seconds = torch.randn(side, side, device=device), []
    for _ in range(rounds):
        start = time.perf_counter()
        matrix @ matrix
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds)


def measure_in_process(args: argparse.Namespace, way: str, batch: int, data: Path) -> Row:
    """Measure one row in its own process; if that fails, return a row with the reason."""
    command = [sys.executable, "-m", "benchmarks.training_step"]
    command += ["--one", way, "--batch-sizes", str(batch), "--data", str(data)]
    for name in ("size", "steps", "warm_up", "workers", "precision"):
        if getattr(args, name) is not None:
            command += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if ended.returncode == 0:
        row: Row = json.loads(ended.stdout.splitlines()[-1])
        return row
    reason = (ended.stderr.strip().splitlines() or [f"status {ended.returncode}"])[-1]
    return {"way": way, "batch": batch, "failed": reason[:120]}


def list_cells(rows: list[Row]) -> Iterator[tuple[object, ...]]:
    """Yield the cells of each row of the table. Ratios are to the plain loop at the same batch size."""
    plain = {row["batch"]: row["images_per_s"] for row in rows if row["way"] == "plain" and "images_per_s" in row}
    # The plain loop does the same computation as the trainer on pictures, so it has the same FLOPs.
    known = next((row for row in rows if row["way"].startswith("pictures") and "flops" in row), {})
    for row in rows:
        if "failed" in row:
            yield row["way"], row["batch"], row["failed"], "", "", "", ""
            continue
        speed, batch = row["images_per_s"], row["batch"]
        flops, peak = (row.get(name, known.get(name)) for name in ("flops", "peak_flops"))
        yield (
            row["way"],
            batch,
            f"{speed:.3g}",
            f"{speed / plain[batch]:.2f}" if batch in plain else "",
            f"{speed * flops / peak:.1%}" if flops and peak else "",
            f"{row['data_wait']:.1%}" if "data_wait" in row else "",
            f"{row['memory_bytes'] / 2**30:.2f} GiB",
        )


def describe_hardware() -> str:
    """Describe the machine."""
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        peak = find_peak_flops(name, "bf16")
        gpu = f"{name}{f' ({peak / 1e12:,.0f} TFLOP/s in bf16)' if peak else ''}"
    else:
        gpu = "no GPU"
    return f"{gpu}; {describe_machine('torch', 'diffusers')}"


def main() -> None:
    """Measure every way at every batch size and print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--size", choices=("tiny", "sd15"), default="tiny")
    parser.add_argument("--batch-sizes", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2, 4])
    parser.add_argument("--ways", type=lambda text: text.split(","), default=list(WAYS))
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1, help="Worker processes of the data loader.")
    parser.add_argument("--precision", choices=("bf16", "fp16", "no"), help="[default: bf16 on a GPU, no on a CPU]")
    parser.add_argument(
        "--data", type=Path, help="A finished data set of the size's resolution.  [default: drawn GIFs]"
    )
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args, args.one, args.batch_sizes[0])))
        return
    if unknown := set(args.ways) - set(WAYS):
        parser.error(f"--ways: unknown {', '.join(unknown)}; choose from {', '.join(WAYS)}")
    with tempfile.TemporaryDirectory() as scratch:
        pictures, latents = args.data or draw_data(Path(scratch), args.size), Path(scratch, "latents")
        if any(way.startswith("latents") for way in args.ways):
            encode_dataset(pictures.absolute(), latents, make_config(args, "latents", 1), map, progress=lambda _: None)
        rows = []
        for batch in args.batch_sizes:
            for way in args.ways:
                rows.append(measure_in_process(args, way, batch, latents if way.startswith("latents") else pictures))
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    side, precision = RESOLUTION[args.size], make_config(args, "plain", 1).precision
    print(describe_hardware())
    print(f"{args.size}, {side} x {side}, precision {precision}, {args.steps} steps after {args.warm_up}.\n")
    print_header("way", "batch", "images/s", "of plain", "MFU", "data wait", "peak memory")
    for cells in list_cells(rows):
        print_row(*cells)


if __name__ == "__main__":
    main()
