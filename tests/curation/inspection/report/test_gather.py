"""The report of a whole run: what it says is what the data set holds, and another run says the same."""

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
    """A listing of two films, one of them twice, and one with a cut."""
    folder = tmp_path_factory.mktemp("films")
    frames = {"film.gif": film(1, 6, 1.5), "again.gif": film(1, 6, 1.5), "cut.gif": draw_edit("cut", 4).frames}
    for name, drawn in frames.items():
        save_gif(folder / name, drawn)
    (folder / "listing.tsv").write_text("".join(f"{name}\ta film\n" for name in frames) + "lost.gif\tgone\n")
    return folder


def run(films: Path, out: Path, **options: Path) -> Summary:
    """Curate the films in this process, all pairs of them."""
    config = CurationConfig(min_motion=0, max_motion=200, pairs_per_gif=500, val_fraction=0)
    done = curate(
        RunOptions(listing=films / "listing.tsv", out=out, workers=0, **options), config, Progress(quiet=True)
    )
    assert done is not None
    return done


def untimed(out: Path) -> str:
    """Read a report without the times of its stages, which are another run's."""
    html = (out / "report.html").read_text()
    return re.sub(r'<section aria-labelledby="time">.*?</section>', "", html, flags=re.DOTALL)


def test_a_report_says_what_the_data_set_holds(films: Path, tmp_path: Path) -> None:
    summary = run(films, tmp_path / "out")
    html = (tmp_path / "out" / "report.html").read_text()
    text = " ".join(re.sub("<[^>]*>", "", html).split())
    kept = sum(entry.num_samples for entry in read_manifest(tmp_path / "out").splits.values())
    flow = pq.read_table(tmp_path / "out" / "flow")
    across = pc.sum(flow["across_cut"]).as_py()
    assert f"{across:,} of the measured pairs" in text
    # Everything is kept, but what the copy would have given.
    assert f"and {across:,} of the kept ones ({100 * across / kept:.0f} %) have a scene cut" in text
    assert f"  {across:,} kept across a scene cut; --drop-cuts leaves such pairs out" in str(summary).splitlines()
    assert "1 clip shows exactly what another shows (0 of them in another split)" in text
    assert "film.gifrow 1, train" in text
    assert "there is no file" in text
    assert "pix2gif retry ." in text
    assert f"{kept:,} samples" in text
    assert f"{flow.num_rows:,} pairs" in text


def test_the_same_data_set_has_the_same_report_but_for_times(films: Path, tmp_path: Path) -> None:
    run(films, tmp_path / "one" / "out")
    run(films, tmp_path / "two" / "out", flow=tmp_path / "one" / "out" / "flow")
    assert untimed(tmp_path / "one" / "out") == untimed(tmp_path / "two" / "out")
