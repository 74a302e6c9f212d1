"""Start `pix2gif` as a subprocess or a fork, and read the metrics of a run."""

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

import cli

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


@dataclasses.dataclass(frozen=True)
class ForkedCommand:
    """A forked process that runs `pix2gif`, and the files of its output."""

    process: BaseProcess
    out: Path
    errors: Path

    def wait(self) -> "subprocess.CompletedProcess[str]":
        """Wait for the process to end."""
        self.process.join(300)
        assert self.process.exitcode is not None
        return subprocess.CompletedProcess((), self.process.exitcode, self.out.read_text(), self.errors.read_text())


@contextlib.contextmanager
def forking(forks: ForkServerContext, folder: Path) -> Iterator[Callable[..., ForkedCommand]]:
    """Yield a function that starts `pix2gif` in a forked process; kill what runs at the end of the block."""
    commands: list[ForkedCommand] = []

    def start(*arguments: object, environment: Mapping[str, object] | None = None) -> ForkedCommand:
        out, errors = folder / f"fork-{len(commands)}.out", folder / f"fork-{len(commands)}.errors"
        variables = {name: str(value) for name, value in (environment or {}).items()}
        process = forks.Process(target=_run_main, args=([*map(str, arguments)], variables, out, errors))
        process.start()
        commands.append(ForkedCommand(process, out, errors))
        return commands[-1]

    yield start
    for command in commands:
        command.process.kill()
        command.process.join()


def _run_main(arguments: list[str], variables: dict[str, str], out: Path, errors: Path) -> None:
    with out.open("w") as stdout, errors.open("w") as stderr:
        os.dup2(stdout.fileno(), 1)
        os.dup2(stderr.fileno(), 2)
        sys.stdout, sys.stderr = stdout, stderr
        os.environ.update(variables)
        sys.path[:0] = filter(None, variables.get("PYTHONPATH", "").split(os.pathsep))
        torch.set_num_threads(1)
        sys.argv = ["pix2gif", *arguments]
        cli.main()


def run_ranks(
    fork_command: Callable[..., ForkedCommand], num_processes: int, *arguments: object, **environment: object
) -> "list[subprocess.CompletedProcess[str]]":
    """Run a command in several forked processes, with the variables that torchrun sets."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    shared = {"WORLD_SIZE": num_processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
    commands = [
        fork_command(*arguments, environment={**shared, "RANK": rank, "LOCAL_RANK": rank, **environment})
        for rank in range(num_processes)
    ]
    results = [command.wait() for command in commands]
    for result in results:
        assert result.returncode == 0, result.stderr[-3000:]
    return results


def train_arguments(shards: Path, out: Path, **options: object) -> list[object]:
    """Return the arguments of a short `pix2gif train` with the tiny preset."""
    given = {"global-batch": 8, "validate-every": 0, "num-workers": 0, **options}
    flags = [word for name, value in given.items() for word in (f"--{name}", value)]
    return ["train", shards, "--preset", "tiny", "--out", out, *flags]


def read_losses(out: Path, name: str = "loss") -> list[float]:
    """Return the loss, or another metric, of each logged step of a run."""
    return [json.loads(line)[name] for line in (out / "metrics.jsonl").read_text().splitlines()]
