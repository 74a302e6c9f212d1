"""The probing stage: one result for every clip, whether it arrived or not."""

from pathlib import Path

import pytest

from curation.config import CurationConfig
from curation.decode import probe_stage
from curation.decode.probe_results import ProbeResults
from curation.decode.probe_stage import probe_all
from curation.fetch.stage import FetchedClips
from curation.listing.catalog import read_catalog
from curation.options import RunOptions
from shards.schema import Verdict
from tests.curation.helpers import make_run


@pytest.mark.parametrize("clips_per_task", [3, 64])
def test_every_clip_is_probed_once_and_missing_clips_keep_their_verdict(
    listing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clips_per_task: int
) -> None:
    monkeypatch.setattr(probe_stage, "_CLIPS_PER_TASK", clips_per_task)
    run = make_run(RunOptions(listing=listing, out=tmp_path / "out"))
    clips = read_catalog(listing.read_bytes(), run.options, CurationConfig()).clips
    missing = clips.keys_in_order[5]
    fetched = FetchedClips(requested=clips, locations={}, failures={missing: (Verdict.FETCH_FAILED, "HTTP 404")})
    probed = probe_all(run, fetched, ProbeResults(clips))
    assert len(probed) == len(clips) == 14
    assert (probed[missing].verdict, probed[missing].detail) == (Verdict.FETCH_FAILED, "HTTP 404")
    assert all(probed[key].sha256 for key in clips if key != missing)
    assert [stage.num_done for stage in run.progress.stages] == [13]
