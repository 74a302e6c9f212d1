"""A listing that takes two workers some seconds, and what an undisturbed run makes of it."""

from pathlib import Path

import pytest

from examples.draw_gifs import draw_folder
from shards.verify import verify_dataset
from tests.curation.helpers import run


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A listing of 60 GIFs."""
    return draw_folder(tmp_path_factory.mktemp("many"), num_gifs=60, seed=1)


@pytest.fixture(scope="session")
def undisturbed(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an undisturbed run in one process makes of it."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    run(many, out)
    verify_dataset(out)
    return out
