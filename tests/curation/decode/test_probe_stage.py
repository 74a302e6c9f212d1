"""Whoever looks at the clips, before there are workers or in one, finds the same, and nobody looks twice."""

from pathlib import Path

import pytest

from curation.config import CurationConfig
from curation.decode import probe_stage
from curation.decode.probe_results import ProbeResults
from curation.decode.probe_stage import ProbeStage
from curation.fetch.stage import Arrivals
from curation.listing.catalog import read_catalog
from curation.options import RunOptions
from curation.run.progress import Progress
from curation.run.workers import InProcess
from shards.schema import Verdict
from tests.curation.runs import CountingWorkers


@pytest.fixture
def arrivals(listing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Arrivals:
    """The 14 drawn clips, one of which could not be had, in tasks of 3: 5 of them."""
    monkeypatch.setattr(probe_stage, "_CLIPS_PER_PROBE", 3)
    clips = read_catalog(RunOptions(listing=listing, out=tmp_path / "out"), CurationConfig()).clips
    return Arrivals(asked=clips, locations={}, failures={clips.keys_in_order[5]: (Verdict.FETCH_FAILED, "HTTP 404")})


@pytest.mark.parametrize("num_early", [0, 2, 5])
def test_some_are_looked_at_early_and_workers_do_the_rest(arrivals: Arrivals, num_early: int) -> None:
    expected = ProbeStage(arrivals, ProbeResults(arrivals.asked), CurationConfig()).finish(
        Progress(quiet=True), InProcess()
    )
    probing = ProbeStage(arrivals, ProbeResults(arrivals.asked), CurationConfig())
    progress, workers = Progress(quiet=True), CountingWorkers()
    with progress.stage("start", unit="GIFs") as bar:
        for _, chore in zip(range(num_early), probing.chores(bar), strict=False):
            chore.enter(chore.function(chore.task))
    found = probing.finish(progress, workers)
    assert dict(found) == dict(expected)
    assert len(found) == 14
    assert found[arrivals.asked.keys_in_order[5]].detail == "HTTP 404"
    assert workers.num_tasks == 5 - num_early
    assert sum(stage.num_done for stage in progress.stages) == 13
    assert [stage.name for stage in progress.stages] == ["start", "probe"][: 1 + (num_early < 5)]
