"""Start `pix2gif` as a subprocess, and read the metrics of a run."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent


def torchrun(*options: str) -> list[str]:
    """Return the command line that starts a command under torchrun."""
    return [str(BIN / "torchrun"), *options, "--no-python"]


def start_command(
    *arguments: object, processes: int = 1, launcher: Sequence[str] = (), **options: Any
) -> "subprocess.Popen[str]":
    """Start `pix2gif` alone, under torchrun with several processes, or under a launcher; each on one thread."""
    if processes > 1:
        launcher = torchrun("--standalone", "--nproc-per-node", str(processes))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{BIN}:{os.environ['PATH']}"}
    return subprocess.Popen(
        [*launcher, str(BIN / "pix2gif"), *map(str, arguments)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def run_command(
    *arguments: object, processes: int = 1, launcher: Sequence[str] = ()
) -> "subprocess.CompletedProcess[str]":
    """Run `pix2gif` to its end, as `start_command` starts it."""
    process = start_command(*arguments, processes=processes, launcher=launcher)
    out, errors = process.communicate(timeout=300)
    return subprocess.CompletedProcess(arguments, process.returncode, out, errors)


def train_arguments(shards: Path, out: Path, **options: object) -> list[object]:
    """Return the arguments of a short `pix2gif train` with the tiny preset."""
    given = {"global-batch": 8, "validate-every": 0, "num-workers": 0, **options}
    flags = [word for name, value in given.items() for word in (f"--{name}", value)]
    return ["train", shards, "--preset", "tiny", "--out", out, *flags]


def read_losses(out: Path, name: str = "loss") -> list[float]:
    """Return the loss, or another metric, of each logged step of a run."""
    return [json.loads(line)[name] for line in (out / "metrics.jsonl").read_text().splitlines()]
