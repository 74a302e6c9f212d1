"""Fixtures of training: small drawn shards, configs, and forked processes."""

import dataclasses
import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
import torch

from curation.config import CurationConfig
from curation.options import RunOptions
from curation.pipeline import curate
from curation.run.progress import Progress
from tests.bucket import KEYS
from tests.training.helpers import ForkedCommand, forking
from training.trainer.config import TrainingConfig, tiny


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Leave the other cores to parallel tests, and sum in a fixed order."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _s3_environment(service: str) -> Iterator[None]:
    """Name the local S3 server and its keys for the whole session, as a fork server keeps its environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**KEYS, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": service}.items():
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


@pytest.fixture
def fork_command(forks: ForkServerContext, tmp_path: Path) -> Iterator[Callable[..., ForkedCommand]]:
    """Start `pix2gif` in a forked process, which saves the seconds of importing torch; `environment` adds variables."""
    with forking(forks, tmp_path) as start:
        yield start
