"""Check training on a GPU, stopping after ten minutes, and write a record of its speed and memory.

    make gpu-check
    python -m benchmarks.gpu_check --out gpu-check.md
    python -m benchmarks.gpu_check --presets tiny --precisions no,bf16

The first two commands need a GPU with 24 GB or more; the third runs on a CPU too. Weights are random, pictures drawn.

Resume: a run in each precision is killed after a checkpoint and resumed; its losses must equal those of a run without
a stop. Speed: steps of each preset with Stable Diffusion 1.5's sizes, one micro-batch a step, each preset in a process
of its own. The exit status is 1 if a run fails, or if losses differ by more than rounding.
"""

import argparse
import dataclasses
import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.helpers import PIX2GIF, make_parser
from benchmarks.training_step import describe_hardware, draw_data, measure_trainer
from training.runtime.libraries import silence_libraries
from training.trainer.config import PRESETS

CHECKPOINT_EVERY = 2
STEPS, WARM_UP = 10, 3
LOSS_TOLERANCE = 1e-3
"""Largest difference of two losses: some of cuDNN's kernels sum in another order at each call."""
LIMIT_S = 600
_deadline_s = time.monotonic() + LIMIT_S


def train(data: Path, out: Path, precision: str, max_steps: int) -> "subprocess.Popen[str]":
    """Start `pix2gif train` with the tiny preset."""
    options = {"--precision": precision, "--max-steps": max_steps, "--checkpoint-every": CHECKPOINT_EVERY}
    fixed = ["--preset", "tiny", "--validate-every", "0"]
    words = [PIX2GIF, "train", str(data), "--out", str(out), *fixed, *map(str, itertools.chain(*options.items()))]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # noqa: S603


def finish(process: "subprocess.Popen[str]") -> str:
    """Wait for a run and return what it printed.

    Raises RuntimeError if the time of all checks is over, or with the last line of its messages if it fails.
    """
    try:
        printed, errors = process.communicate(timeout=max(0, _deadline_s - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise RuntimeError(f"not finished: the {LIMIT_S} s of all checks are over") from None
    if process.returncode:
        raise RuntimeError((errors.strip().splitlines() or [f"exit status {process.returncode}"])[-1])
    return printed or ""


def find_steps(out: Path) -> list[int]:
    """Return the steps of a run's complete checkpoints."""
    return [int(path.name.rpartition("-")[2]) for path in (out / "checkpoints").glob("step-*[0-9]")]


def read_losses(out: Path, num_steps: int) -> list[float]:
    """Return the losses of the first steps."""
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines][:num_steps]


def check_resume(data: Path, folder: Path, precision: str) -> tuple[int, float]:
    """Kill a run, resume it; return the step of its checkpoint, and the largest difference to an undisturbed run."""
    killed, whole = folder / f"killed-{precision}", folder / f"whole-{precision}"
    process = train(data, killed, precision, 100_000)
    while not find_steps(killed):
        if process.poll() is not None or time.monotonic() > _deadline_s:
            finish(process)
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    resumed_at = max(find_steps(killed))
    last = resumed_at + CHECKPOINT_EVERY
    for out in (killed, whole):
        finish(train(data, out, precision, last))
    losses = zip(read_losses(killed, last), read_losses(whole, last), strict=True)
    return resumed_at, max(abs(one - other) for one, other in losses)


def measure_preset(name: str, data: Path) -> dict[str, float]:
    """Measure steps of a preset with random weights, in this process."""
    silence_libraries()
    preset = PRESETS[name]()
    config = dataclasses.replace(
        preset,
        pretrained=None,
        random_size="tiny" if name == "tiny" else "sd15",
        autoencoder=None,
        perceptual_weights=None,
        global_batch=preset.micro_batch,
        max_steps=10**9,
    )
    figures = measure_trainer(argparse.Namespace(steps=STEPS, warm_up=WARM_UP), config, data)
    memory = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    return {"micro_batch": preset.micro_batch, "memory_gib": memory, **figures}


def write_row(name: str, data: Path) -> tuple[str, bool]:
    """Measure a preset in a process of its own; return its row of the table, and whether it worked."""
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--one", name, "--data", str(data)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603
    try:
        printed = finish(process)
    except RuntimeError as error:
        return f"| {name} | {str(error)[:120]} | | | |", False
    figures = json.loads(printed.splitlines()[-1])
    mfu = figures["images_per_s"] * figures["flops"] / figures["peak_flops"]
    cells = (f"{figures['micro_batch']:.0f}", f"{figures['images_per_s']:.3g}", f"{mfu:.1%}")
    return f"| {name} | {' | '.join(cells)} | {figures['memory_gib']:.1f} GiB |", True


def main() -> int:
    """Run the checks, print and write the record; return the exit status."""
    parser = make_parser(__doc__)
    parser.add_argument("--presets", type=lambda text: text.split(","), default=["card24", "card80", "paper"])
    parser.add_argument("--precisions", type=lambda text: text.split(","), default=["no", "bf16", "fp16"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure_preset(args.one, args.data)))
        return 0
    if not torch.cuda.is_available() and (args.presets != ["tiny"] or "fp16" in args.precisions):
        print("there is no GPU; on a CPU run --presets tiny --precisions no,bf16", file=sys.stderr)
        return 1
    lines, is_good = [describe_hardware(), ""], True
    with tempfile.TemporaryDirectory() as scratch:
        small = draw_data(Path(scratch, "small"), "tiny")
        lines += ["| precision | killed after step | largest difference of a loss |", "|---|---|---|"]
        for precision in args.precisions:
            try:
                step, difference = check_resume(small, Path(scratch), precision)
                lines.append(f"| {precision} | {step} | {difference:.1e} |")
                is_good &= difference <= LOSS_TOLERANCE
            except RuntimeError as error:
                lines.append(f"| {precision} | {error} | |")
                is_good = False
        large = small if args.presets == ["tiny"] else draw_data(Path(scratch, "large"), "sd15")
        lines += ["", "| preset | micro-batch | images/s | MFU | peak memory |", "|---|---|---|---|---|"]
        for name in args.presets:
            row, works = write_row(name, large)
            lines.append(row)
            is_good &= works
    report = "\n".join(lines) + "\n"
    print(report)
    if args.out:
        args.out.write_text(report, encoding="utf-8")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
