"""Fixtures of the trainer: a data set with short epochs, and a run on it without a stop."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

from curation.config import CurationConfig
from curation.options import RunOptions
from curation.pipeline import curate
from curation.run.progress import Progress
from training.trainer.config import TrainingConfig
from training.trainer.trainer import Trainer


@pytest.fixture
def any_precision() -> Iterator[None]:
    """Let a test run in another precision than the tests before it; accelerate fixes that of a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="session")
def few_shards(listing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Curate the drawn GIFs at 128 x 128: 33 training samples, so that step 5 begins the second epoch."""
    out = tmp_path_factory.mktemp("few") / "shards"
    config = CurationConfig(resolution=128, pairs_per_gif=3)
    curate(RunOptions(listing=listing, out=out, workers=0), config, Progress(quiet=True))
    return out


@pytest.fixture(scope="session")
def uninterrupted(
    few_shards: Path, tmp_path_factory: pytest.TempPathFactory, make_config: Callable[..., TrainingConfig]
) -> Path:
    """Run 6 steps in one process without a stop."""
    out = tmp_path_factory.mktemp("uninterrupted")
    Trainer(make_config(max_steps=6), str(few_shards), out).train()
    return out
