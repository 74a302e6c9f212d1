from collections.abc import Iterator

import pytest

from curation.fetch import download
from curation.fetch import rate_limits as turns
from tests.curation.fetch.hosts import Host, serve


@pytest.fixture
def host() -> Iterator[Host]:
    """A running host without a page."""
    with serve() as server:
        yield server


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait between tries for a moment only, and as if a silent host could come back at once."""
    monkeypatch.setattr(download, "BACKOFF_S", 0.02)
    monkeypatch.setattr(turns, "SILENCE_PAUSE_S", 0.001)
    monkeypatch.setattr(turns, "REFUSAL_PAUSE_S", 0.02)
