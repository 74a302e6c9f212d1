"""The drawn data set in uneven shards; the user's cache folder is one of the test."""

from pathlib import Path

import pytest

from tests.training.data.helpers import cut, write_latents


@pytest.fixture(autouse=True)
def _temporary_user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))


@pytest.fixture(scope="session")
def uneven(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """110 samples in 5 uneven shards. Tests copy it before they change anything."""
    return cut(dataset, tmp_path_factory.mktemp("uneven") / "out")


@pytest.fixture(scope="session")
def latents(uneven: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random latent cache of the same samples, with flips."""
    return write_latents(uneven, tmp_path_factory.mktemp("latents") / "out")
