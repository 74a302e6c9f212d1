"""The report of a complete run: it matches the data set and is deterministic."""

import re
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from curation.config import CurationConfig
from curation.finish import Summary
from curation.options import RunOptions
from curation.pipeline import curate
from curation.run.progress import Progress
from examples.draw_gifs import save_gif
from examples.draw_scenes import draw_edit, film
from shards.manifest import read_manifest


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A listing of a film, an exact duplicate of it, a film with a scene cut, and a missing file."""
    folder = tmp_path_factory.mktemp("films")
    clips = {"film.gif": film(1, 6, 1.5), "copy.gif": film(1, 6, 1.5), "cut.gif": draw_edit("cut", 4).frames}
    for name, frames in clips.items():
        save_gif(folder / name, frames)
    (folder / "listing.tsv").write_text("".join(f"{name}\ta film\n" for name in clips) + "lost.gif\tgone\n")
    return folder


def curate_films(films: Path, out: Path, **options: Path) -> Summary:
    """Curate the films and keep all pairs."""
    config = CurationConfig(min_motion=0, max_motion=200, pairs_per_gif=500, val_fraction=0)
    summary = curate(
        RunOptions(listing=films / "listing.tsv", out=out, workers=0, **options), config, Progress(quiet=True)
    )
    assert summary is not None
    return summary


def read_without_times(out: Path) -> str:
    """Read a report without the section on times."""
    html = (out / "report.html").read_text()
    return re.sub(r'<section aria-labelledby="time">.*?</section>', "", html, flags=re.DOTALL)


def test_report_matches_the_data_set(films: Path, tmp_path: Path) -> None:
    summary = curate_films(films, tmp_path / "out")
    html = (tmp_path / "out" / "report.html").read_text()
    text = " ".join(re.sub("<[^>]*>", "", html).split())
    kept = sum(entry.num_samples for entry in read_manifest(tmp_path / "out").splits.values())
    flow = pq.read_table(tmp_path / "out" / "flow")
    across = pc.sum(flow["across_cut"]).as_py()
    assert f"{across:,} measured pairs" in text
    # All pairs are kept, except those of the duplicate.
    assert f"and {across:,} kept pairs ({100 * across / kept:.0f} %) have a scene cut" in text
    assert f"  {across:,} kept across a scene cut; --drop-cuts drops such pairs" in str(summary).splitlines()
    assert "1 exact duplicate (0 across splits)" in text
    assert "film.gifrow 1, train" in text
    assert "there is no file" in text
    assert "pix2gif retry ." in text
    assert f"{kept:,} samples" in text
    assert f"{flow.num_rows:,} pairs" in text


def test_report_is_deterministic_except_for_times(films: Path, tmp_path: Path) -> None:
    curate_films(films, tmp_path / "one" / "out")
    curate_films(films, tmp_path / "two" / "out", flow=tmp_path / "one" / "out" / "flow")
    assert read_without_times(tmp_path / "one" / "out") == read_without_times(tmp_path / "two" / "out")
