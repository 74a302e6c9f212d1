"""Fixtures: drawn GIFs of known motion, a data set of them, and the folder of real GIFs."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from curation.config import CurationConfig
from curation.options import RunOptions
from curation.pipeline import curate
from curation.run.progress import Progress
from examples.draw_gifs import draw_folder
from shards.storage.location import user_cache_folder
from tests.bucket import s3, service
from tests.google import google
from tests.web_server import short_pauses, web_server

__all__ = ["google", "s3", "service", "short_pauses", "web_server"]

# A busy machine may pause for seconds, so Hypothesis must not fail slow examples.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Some tests replace the user cache folder. Without this, each of them would compile.
os.environ.setdefault("NUMBA_CACHE_DIR", str(user_cache_folder() / "compiled"))

REAL_GIFS = os.environ.get("PIX2GIF_REAL_GIFS")
SLOWEST_FILES = (
    "test_processes.py",
    "test_stores.py",
    "test_workers.py",
    "test_cli.py",
    "test_trainer.py",
    "test_failing_gifs.py",
    "test_jit.py",
    "test_folder.py",
    "test_files.py",
    "test_resume.py",
    "test_browser.py",
    "test_page.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slowest files first: with `--dist loadfile` one process would run the last of them alone."""
    ranks = {name: rank for rank, name in enumerate(SLOWEST_FILES)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


@pytest.fixture(scope="session")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A listing of 12 drawn GIFs, a still GIF and an HTML page: 15 rows, 14 clips."""
    return draw_folder(tmp_path_factory.mktemp("drawn"), num_gifs=12, seed=0)


@pytest.fixture(scope="session")
def dataset(listing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished data set of the listing. Tests must copy it before they change it."""
    out = tmp_path_factory.mktemp("dataset") / "out"
    curate(RunOptions(listing=listing, out=out, workers=0), CurationConfig(), Progress(quiet=True))
    return out


@pytest.fixture(scope="session")
def real_gifs() -> Path:
    """The folder of real GIFs, which are not part of the project. Skips if it is missing."""
    if not REAL_GIFS:
        pytest.skip("PIX2GIF_REAL_GIFS does not name a folder of real GIFs")
    return Path(REAL_GIFS)


@pytest.fixture(scope="session")
def real_dataset(real_gifs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished data set of the real GIFs."""
    out = tmp_path_factory.mktemp("real") / "out"
    options = RunOptions(listing=real_gifs / "gifs.tsv", out=out, workers=0)
    curate(options, CurationConfig(), Progress(quiet=True))
    return out
