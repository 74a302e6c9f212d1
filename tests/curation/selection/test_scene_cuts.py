"""Pairs across a scene cut: how the flow table marks them and how `drop_cuts` leaves them out."""

import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from curation.config import CurationConfig
from curation.options import RunOptions
from curation.pipeline import curate
from curation.run.progress import Progress
from examples.draw_gifs import save_gif
from examples.draw_scenes import draw_edit, film
from shards.manifest import read_manifest

PIX2GIF = Path(sys.executable).parent / "pix2gif"
CUT_AT = 4 + 4 % 9
"""The first frame after the cut."""


@pytest.fixture
def folder(tmp_path):
    """A listing of three films, one of which has a cut."""
    films = {"film_1.gif": film(1, 8, 1.5), "film_3.gif": film(3, 8, 1.5), "cut.gif": draw_edit("cut", 4).frames}
    for name, frames in films.items():
        save_gif(tmp_path / name, frames)
    (tmp_path / "listing.tsv").write_text("".join(f"{name}\ta film of {name}\n" for name in films))
    return tmp_path


def run(folder, name="out", **parameters):
    """Curate the listing into one split; returns the rows of clips.parquet by uri."""
    options = RunOptions(listing=folder / "listing.tsv", out=folder / name, workers=0)
    config = CurationConfig(min_motion=0.5, val_fraction=0, **parameters)
    curate(options, config, Progress(quiet=True))
    return {row["uri"]: row for row in pq.read_table(folder / name / "clips.parquet").to_pylist()}


def test_the_flow_table_marks_pairs_across_a_cut(folder):
    clip_key = run(folder)["cut.gif"]["clip_key"]
    flow = pq.read_table(folder / "out" / "flow")
    cut = flow.filter(pc.equal(flow["clip_key"].cast("string"), clip_key))
    pairs = zip(cut["source_index"].to_pylist(), cut["target_index"].to_pylist(), strict=True)
    expected = [source < CUT_AT <= target for source, target in pairs]
    assert cut["across_cut"].to_pylist() == expected
    assert pc.sum(flow["across_cut"]).as_py() == sum(expected) > 0


def test_drop_cuts_leaves_out_pairs_across_a_cut(folder):
    rows = run(folder, max_motion=200.0)
    dropped = run(folder, "dropped", max_motion=200.0, drop_cuts=True)
    flow = pq.read_table(folder / "out" / "flow")
    in_range = pc.and_(pc.greater_equal(flow["motion_px"], 0.5), pc.less_equal(flow["motion_px"], 200))
    num_across = pc.sum(pc.and_(in_range, flow["across_cut"])).as_py()
    assert num_across > 0
    assert dropped["cut.gif"]["num_in_range"] == rows["cut.gif"]["num_in_range"] - num_across
    assert dropped["film_3.gif"]["num_in_range"] == rows["film_3.gif"]["num_in_range"]


def test_resplit_and_plan_drop_cuts_of_a_finished_data_set(folder):
    all_pairs = {"max_motion": 200.0, "pairs_per_gif": 500}
    run(folder, **all_pairs)
    run(folder, "dropped", drop_cuts=True, **all_pairs)
    words = ["resplit", folder / "out", "--out", folder / "again", "--drop-cuts", "--workers", "0", "--quiet"]
    subprocess.run([PIX2GIF, *words], check=True, timeout=300)
    shard = Path("train", "00000.tar")
    assert (folder / "again" / shard).read_bytes() == (folder / "dropped" / shard).read_bytes()
    assert (folder / "again" / shard).read_bytes() != (folder / "out" / shard).read_bytes()
    words = ["plan", folder / "out", "--drop-cuts"]
    planned = subprocess.run([PIX2GIF, *words], check=True, timeout=300, capture_output=True, text=True).stdout
    assert f"{read_manifest(folder / 'dropped').splits['train'].num_samples:,} pairs" in planned
