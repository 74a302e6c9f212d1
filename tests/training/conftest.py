"""Fixtures of training: small drawn shards, configs, and forked processes."""

import dataclasses
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
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


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Leave the other cores to parallel tests, and sum in a fixed order."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _s3_test_keys() -> Iterator[None]:
    """Set keys for a local S3 server for the whole session, as a fork server keeps the environment it started with."""
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
    """Curate the drawn GIFs at 128 x 128: 110 training and 10 validation samples in shards of 40."""
    out = tmp_path_factory.mktemp("small") / "shards"
    config = CurationConfig(resolution=128, samples_per_shard=40)
    curate(RunOptions(listing=listing, out=out, workers=0), config, Progress(quiet=True))
    return out


@pytest.fixture(scope="session")
def make_config() -> Callable[..., TrainingConfig]:
    """Make a config of the tiny preset without validation and intermediate checkpoints."""

    def make(**fields: Any) -> TrainingConfig:
        return dataclasses.replace(tiny(), **{"validate_every": 0, "checkpoint_every": 1000, **fields})

    return make


@pytest.fixture(scope="session", autouse=True)
def forks() -> ForkServerContext:
    """Fork processes in milliseconds from a server that has imported the trainer.

    Used by every test: the first fork of a session, even of a data worker, starts the server of all later ones.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cli", "training.trainer.trainer"])
    return context


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


@pytest.fixture
def fork_command(forks: ForkServerContext, tmp_path: Path) -> Iterator[Callable[..., ForkedCommand]]:
    """Start `pix2gif` in a forked process, which saves the seconds of importing torch; `environment` adds variables."""
    commands: list[ForkedCommand] = []

    def start(*arguments: object, environment: Mapping[str, object] | None = None) -> ForkedCommand:
        out, errors = tmp_path / f"fork-{len(commands)}.out", tmp_path / f"fork-{len(commands)}.errors"
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
        torch.set_num_threads(1)
        sys.argv = ["pix2gif", *arguments]
        cli.main()
