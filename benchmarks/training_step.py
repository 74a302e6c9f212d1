"""Measure speed and memory of the training step, against a plain loop in the style of diffusers' examples.

    python -m benchmarks.training_step --size tiny --batch-sizes 1,4,8 --steps 8
    python -m benchmarks.training_step --size sd15 --batch-sizes 16,32,64 --steps 30 --precision bf16 --out training.md

The first command runs on a laptop; the second needs a GPU with 80 GB or more. Weights are random. The data set is drawn
and curated here, or given by --data. A GPU is used if there is one. Each row is measured in its own process, so that
its peak memory is its own, after --warm-up steps. Prints Markdown; --out also writes it to a file.

plain: `benchmarks/plain_train.py`: pictures, not compiled, fused or channels-last, without prefetch.
pictures: the trainer's step on pictures; latents: on a latent cache; +compile: with torch.compile.

images/s counts pairs. MFU is the FLOP/s of matrix products and convolutions, frozen parts included, as a share of the
device's peak: the vendor's figure for a GPU, a large matrix product in the same process for a CPU.
"""

import argparse
import dataclasses
import itertools
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.plain_train import plain_steps
from examples.draw_gifs import draw_folder
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
    listing = draw_folder(folder / "gifs", NUM_GIFS[size], seed=0)
    options = ["--resolution", str(RESOLUTION[size]), "--samples-per-shard", "40", "--workers", "0"]
    curate = [str(Path(sys.executable).with_name("pix2gif-curate")), str(listing), "--out", str(folder / "shards")]
    subprocess.run([*curate, *options], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    return folder / "shards"


def measure(args: argparse.Namespace, way: str, batch: int) -> dict[str, float | str]:
    """Measure one row of the table, in this process."""
    silence_libraries()
    config = make_config(args, way, batch)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    figures = (
        measure_plain(args, config, args.data, device) if way == "plain" else measure_trainer(args, config, args.data)
    )
    if device.type == "cuda":
        figures["memory_bytes"] = torch.cuda.max_memory_allocated()
    else:
        figures["memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"way": way, "batch": batch, **figures}


def measure_plain(
    args: argparse.Namespace, config: TrainingConfig, data: Path, device: torch.device
) -> dict[str, float | str]:
    """Time the plain loop. It reads the loss after every step, so the GPU is idle when the clock is read."""
    steps = plain_steps(config, data, device)
    for _ in range(args.warm_up):
        next(steps)
    start = time.perf_counter()
    for _ in range(args.steps):
        next(steps)
    return {"images_per_s": args.steps * config.micro_batch / (time.perf_counter() - start)}


def measure_trainer(args: argparse.Namespace, config: TrainingConfig, data: Path) -> dict[str, float | str]:
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
        batches = itertools.islice(batches, num_steps * trainer.stream.batches_per_step)
        prefetcher = Prefetcher(batches, trainer.loss_step, throughput)
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


def measure_in_process(args: argparse.Namespace, way: str, batch: int, data: Path) -> dict[str, float | str]:
    """Measure one row in its own process; if that fails, return a row with the reason."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.training_step",
        "--one",
        way,
        "--batch-sizes",
        str(batch),
        "--data",
        str(data),
    ]
    for name in ("size", "steps", "warm_up", "workers", "precision"):
        if getattr(args, name) is not None:
            command += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if ended.returncode == 0:
        return json.loads(ended.stdout.splitlines()[-1])
    reason = (ended.stderr.strip().splitlines() or [f"status {ended.returncode}"])[-1]
    return {"way": way, "batch": batch, "failed": reason[:120]}


def write_table(lines: list[dict[str, float | str]]) -> str:
    """Format the rows as Markdown. Ratios are to the plain loop at the same batch size."""
    plain = {line["batch"]: line["images_per_s"] for line in lines if line["way"] == "plain" and "images_per_s" in line}
    # The plain loop does the same computation as the trainer on pictures, so it has the same FLOPs.
    known = next((line for line in lines if str(line["way"]).startswith("pictures") and "flops" in line), {})
    names = ("way", "batch", "images/s", "of plain", "MFU", "data wait", "peak memory")
    rows = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for line in lines:
        if "failed" in line:
            rows.append(f"| {line['way']} | {line['batch']} | {line['failed']} | | | | |")
            continue
        speed = line["images_per_s"]
        flops, peak = (line.get(name, known.get(name)) for name in ("flops", "peak_flops"))
        cells = [
            str(line["way"]),
            str(line["batch"]),
            f"{speed:.3g}",
            f"{speed / plain[line['batch']]:.2f}" if line["batch"] in plain else "",
            f"{speed * flops / peak:.1%}" if flops and peak else "",
            f"{line['data_wait']:.1%}" if "data_wait" in line else "",
            f"{line['memory_bytes'] / 2**30:.2f} GiB",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def describe_hardware() -> str:
    """Describe the machine."""
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        peak = find_peak_flops(name, "bf16")
        return f"{name}{f' ({peak / 1e12:,.0f} TFLOP/s in bf16)' if peak else ''}, torch {torch.__version__}"
    return f"CPU only, {len(os.sched_getaffinity(0))} cores ({platform.machine()}), torch {torch.__version__}"


def main() -> None:
    """Measure every way at every batch size and print the table."""
    parser = argparse.ArgumentParser(description="Measure the training step against a plain loop.")
    parser.add_argument("--size", choices=("tiny", "sd15"), default="tiny")
    parser.add_argument("--batch-sizes", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2, 4])
    parser.add_argument("--ways", type=lambda text: text.split(","), default=list(WAYS))
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1, help="Worker processes of the data loader.")
    parser.add_argument("--precision", choices=("bf16", "fp16", "no"), help="[default: bf16 on a GPU, no on a CPU]")
    parser.add_argument("--out", type=Path)
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
        lines = []
        for batch in args.batch_sizes:
            for way in args.ways:
                lines.append(measure_in_process(args, way, batch, latents if way.startswith("latents") else pictures))
                print(json.dumps(lines[-1]), file=sys.stderr, flush=True)
    side, precision = RESOLUTION[args.size], make_config(args, "plain", 1).precision
    report = (
        f"{describe_hardware()}; {args.size}, {side} x {side}, precision {precision}, "
        f"{args.steps} steps after {args.warm_up}.\n\n{write_table(lines)}\n"
    )
    print(report)
    if args.out:
        args.out.write_text(report, encoding="utf-8")


if __name__ == "__main__":
    main()
