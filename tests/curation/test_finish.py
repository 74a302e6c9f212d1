"""The summary of a run: rows by verdict, pairs, splits, times, and the location of the data set."""

from pathlib import Path

import pytest

from curation.config import CurationConfig
from curation.finish import Summary
from curation.options import RunOptions
from curation.pipeline import curate
from curation.run.progress import Progress
from curation.run.workspace import Workspace
from examples.draw_gifs import draw_folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A listing of three drawn GIFs, one of them twice, a still one and a page; an official list names one."""
    listing = draw_folder(tmp_path_factory.mktemp("small"), num_gifs=3, seed=1)
    (listing.parent / "splits").mkdir()
    (listing.parent / "splits" / "test.txt").write_text("texture_000.gif\n")
    return listing


def run(small: Path, out: Path, resolution: int = 256, **options: Path) -> Summary:
    """Curate the small listing in this process."""
    config = CurationConfig(resolution=resolution)
    summary = curate(RunOptions(listing=small, out=out, workers=0, **options), config, Progress(quiet=True))
    assert summary is not None
    return summary


def test_summary_lists_rows_pairs_splits_and_the_location(small: Path, tmp_path: Path) -> None:
    summary = run(small, tmp_path / "out", splits=small.parent / "splits")
    text = str(summary)
    lines = text.splitlines()
    assert lines[0] == "6 rows, 5 clips"
    for name, count in (("kept", 3), ("merged", 1), ("still", 1), ("not_a_gif", 1)):
        assert f"  {name:17}{count:>10,}" in lines
    assert "undecodable" not in text
    assert "  4 clips are in no split list and were assigned to train" in lines
    assert any(line.endswith("20 samples of 2 clips in 1 shard") for line in lines)
    assert any(line.startswith("  test") and line.endswith("10 samples of 1 clip in 1 shard") for line in lines)
    num_pairs = summary.curated.verdicts.num_pairs.sum()
    assert summary.num_pairs_measured == num_pairs > 0
    assert any(line.startswith(f"{num_pairs:,} pairs, ") and "30 kept, histogram" in line for line in lines)
    assert " pairs/s while measuring" in text
    assert lines[-1] == f"The data set is in {tmp_path / 'out'}; look at {tmp_path / 'out' / 'report.html'} first."


def test_summary_reports_reused_clips_without_a_rate(small: Path, tmp_path: Path) -> None:
    run(small, tmp_path / "first")
    summary = run(small, tmp_path / "second", flow=tmp_path / "first" / "flow")
    assert (summary.num_reused, summary.num_pairs_measured) == (4, 0)
    text = str(summary)
    assert "  4 clips were reused from an earlier measurement" in text.splitlines()
    assert "pairs/s" not in text
    assert "split list" not in text
    assert "measured again" not in text


def test_summary_reports_clips_that_another_method_had_measured(small: Path, tmp_path: Path) -> None:
    run(small, tmp_path / "out")
    Workspace(tmp_path / "out").mark_unfinished()
    summary = run(small, tmp_path / "out", resolution=64)
    assert (summary.num_reused, summary.num_outdated) == (0, 4)
    assert "4 clips had been measured at another resolution or by another version" in str(summary)
