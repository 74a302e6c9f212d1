"""Fixtures of training: small drawn shards, and how a run is started."""

import dataclasses
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch

import cli
from curation.config import CurationConfig
from curation.options import RunOptions
from curation.pipeline import curate
from curation.run.progress import Progress
from training.trainer.config import TrainingConfig, tiny

BIN = Path(sys.executable).parent


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Leave the machine's other cores to the tests beside this one; and sums in one order."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _s3_keys_of_nobody() -> Iterator[None]:
    """Keys for a local S3 server, for the whole session: a fork server keeps the environment that it began with."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("AWS_ACCESS_KEY_ID", "drawn"),
            ("AWS_SECRET_ACCESS_KEY", "drawn"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ):
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def small_shards(listing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn GIFs at 128 x 128: 110 samples to train on, 10 to validate on, in shards of 40."""
    out = tmp_path_factory.mktemp("small") / "shards"
    config = CurationConfig(resolution=128, samples_per_shard=40)
    curate(RunOptions(listing=listing, out=out, workers=0), config, Progress(quiet=True))
    return out


@pytest.fixture(scope="session")
def quick() -> Callable[..., TrainingConfig]:
    """Make a config of the tiny preset without validation and checkpoints on the way."""

    def make(**fields: Any) -> TrainingConfig:
        return dataclasses.replace(tiny(), **{"validate_every": 0, "checkpoint_every": 1000, **fields})

    return make


@pytest.fixture(scope="session", autouse=True)
def forks() -> ForkServerContext:
    """Makes real processes in milliseconds: forks of one that has imported the trainer and nothing of this run.

    For every test, as the first that needs a fork, be it for a data worker, starts the one that all are forks of.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cli", "training.trainer.trainer"])
    return context


@dataclasses.dataclass(frozen=True)
class Forked:
    """A process that runs `pix2gif`, and the files it writes to."""

    process: BaseProcess
    out: Path
    errors: Path

    def ended(self) -> "subprocess.CompletedProcess[str]":
        """Wait for its end."""
        self.process.join(300)
        assert self.process.exitcode is not None
        return subprocess.CompletedProcess((), self.process.exitcode, self.out.read_text(), self.errors.read_text())


@pytest.fixture
def fork(forks: ForkServerContext, tmp_path: Path) -> Iterator[Callable[..., Forked]]:
    """Start `pix2gif` as `start` does, but for the 200 libraries that a process imports first."""
    begun: list[Forked] = []

    def begin(*words: object) -> Forked:
        out, errors = tmp_path / f"fork-{len(begun)}.out", tmp_path / f"fork-{len(begun)}.errors"
        process = forks.Process(target=_run_command, args=([*map(str, words)], out, errors))
        process.start()
        begun.append(Forked(process, out, errors))
        return begun[-1]

    yield begin
    for one in begun:
        one.process.kill()
        one.process.join()


def _run_command(words: list[str], out: Path, errors: Path) -> None:
    with out.open("w") as told, errors.open("w") as complained:
        os.dup2(told.fileno(), 1)
        os.dup2(complained.fileno(), 2)
        sys.stdout, sys.stderr = told, complained
        torch.set_num_threads(1)
        sys.argv = ["pix2gif", *words]
        cli.main()


def torchrun(*options: str) -> list[str]:
    """Give the words that start a command under torchrun."""
    return [str(BIN / "torchrun"), *options, "--no-python"]


def start(*words: object, processes: int = 1, launcher: Sequence[str] = (), **options: Any) -> "subprocess.Popen[str]":
    """Start `pix2gif` alone, under torchrun with several processes, or under a launcher; each on one thread."""
    if processes > 1:
        launcher = torchrun("--standalone", "--nproc-per-node", str(processes))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{BIN}:{os.environ['PATH']}"}
    return subprocess.Popen(
        [*launcher, str(BIN / "pix2gif"), *map(str, words)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def run(*words: object, processes: int = 1, launcher: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
    """Run `pix2gif` to its end."""
    process = start(*words, processes=processes, launcher=launcher)
    out, errors = process.communicate(timeout=300)
    return subprocess.CompletedProcess(words, process.returncode, out, errors)
