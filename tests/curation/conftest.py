"""A listing that keeps two workers busy for seconds, and the data set of an undisturbed run."""

from pathlib import Path

import pytest

from examples.draw_gifs import draw_folder
from shards.verification.dataset import verify_dataset
from tests.curation.helpers import run


@pytest.fixture(scope="session")
def long_listing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A listing of 60 GIFs."""
    return draw_folder(tmp_path_factory.mktemp("many"), num_gifs=60, seed=1)


@pytest.fixture(scope="session")
def undisturbed(long_listing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set of an undisturbed run in one process."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    run(long_listing, out)
    verify_dataset(out)
    return out
