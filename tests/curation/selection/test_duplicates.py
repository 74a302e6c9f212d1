"""Copies and cuts through whole runs: which clips stay, what the table tells, and what verify says of it."""

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
from examples.draw_scenes import LEAKS, draw_edit, film
from shards.manifest import read_manifest
from shards.verify import verify_dataset

PIX2GIF = Path(sys.executable).parent / "pix2gif"


@pytest.fixture
def folder(tmp_path):
    """A listing of six films: twice the same one, a captioned copy of another, and one with a cut."""
    films = {f"film_{seed}.gif": film(seed, 8, 1.5) for seed in (1, 2, 3)}
    films["again.gif"] = films["film_1.gif"]
    films["captioned.gif"] = LEAKS["captioned"](films["film_2.gif"])
    films["cut.gif"] = draw_edit("cut", 4).frames
    for name, frames in films.items():
        save_gif(tmp_path / name, frames)
    # Other bytes, the same pictures: a GIF may end with a comment.
    again = tmp_path / "again.gif"
    again.write_bytes(again.read_bytes().removesuffix(b";") + b"\x21\xfe\x02hi\x00;")
    (tmp_path / "listing.tsv").write_text("".join(f"{name}\ta film of {name}\n" for name in films))
    return tmp_path


def run(folder, name="out", **parameters):
    splits = parameters.pop("splits", None)
    options = RunOptions(listing=folder / "listing.tsv", out=folder / name, workers=0, splits=splits)
    curate(options, CurationConfig(min_motion=0.5, **parameters), Progress(quiet=True))
    verify_dataset(folder / name)
    return {row["uri"]: row for row in pq.read_table(folder / name / "clips.parquet").to_pylist()}


def official(folder, **lists):
    (folder / "splits").mkdir()
    for split, names in lists.items():
        (folder / "splits" / f"{split}.txt").write_text("\n".join(names) + "\n")
    return folder / "splits"


def test_the_same_pictures_are_one_clip_the_later_row_a_duplicate(folder):
    rows = run(folder, val_fraction=0)
    assert rows["again.gif"]["verdict"] == "duplicate"
    assert rows["again.gif"]["duplicate_of"] == rows["film_1.gif"]["clip_key"]
    assert "the same pictures as row 1" in rows["again.gif"]["detail"]
    assert (rows["again.gif"]["num_kept"], rows["film_1.gif"]["verdict"]) == (0, "kept")
    # Near copies in one split may stay.
    assert rows["captioned.gif"]["verdict"] == rows["film_2.gif"]["verdict"] == "kept"


def test_train_loses_what_val_has_exactly_or_nearly(folder):
    train = ["film_1.gif", "film_2.gif", "film_3.gif", "cut.gif"]
    splits = official(folder, train=train, val=["again.gif", "captioned.gif"])
    rows = run(folder, splits=splits)
    assert {uri for uri, row in rows.items() if row["verdict"] == "duplicate"} == {"film_1.gif", "film_2.gif"}
    assert rows["film_2.gif"]["duplicate_of"] == rows["captioned.gif"]["clip_key"]
    assert "nearly" in rows["film_2.gif"]["detail"]
    off = run(folder, "off", splits=splits, near_distance=0)
    assert {uri for uri, row in off.items() if row["verdict"] == "duplicate"} == {"film_1.gif"}


def test_pairs_across_a_cut_are_told_and_left_out_on_demand(folder):
    kept = run(folder, val_fraction=0)
    rows = pq.read_table(folder / "out" / "flow")
    cut = rows.filter(pc.equal(rows["clip_key"].cast("string"), kept["cut.gif"]["clip_key"]))
    at = 4 + 4 % 9
    expected = [
        source < at <= target
        for source, target in zip(cut["source_index"].to_pylist(), cut["target_index"].to_pylist(), strict=True)
    ]
    assert cut["across_cut"].to_pylist() == expected
    assert pc.sum(rows["across_cut"]).as_py() == sum(expected)
    dropped = run(folder, "dropped", val_fraction=0, drop_cuts=True)
    assert dropped["cut.gif"]["num_in_range"] <= len(expected) - sum(expected)
    assert dropped["film_3.gif"]["num_in_range"] == kept["film_3.gif"]["num_in_range"]


def test_pairs_across_a_cut_can_be_left_out_of_a_finished_data_set(folder):
    everything = {"val_fraction": 0, "max_motion": 200.0, "pairs_per_gif": 500}
    run(folder, **everything)
    run(folder, "dropped", drop_cuts=True, **everything)
    words = ["resplit", folder / "out", "--out", folder / "again", "--drop-cuts", "--workers", "0", "--quiet"]
    subprocess.run([PIX2GIF, *words], check=True, timeout=300)
    shard = Path("train", "00000.tar")
    assert (folder / "again" / shard).read_bytes() == (folder / "dropped" / shard).read_bytes()
    assert (folder / "again" / shard).read_bytes() != (folder / "out" / shard).read_bytes()
    words = ["plan", folder / "out", "--drop-cuts"]
    planned = subprocess.run([PIX2GIF, *words], check=True, timeout=300, capture_output=True, text=True).stdout
    kept = read_manifest(folder / "dropped").splits["train"].num_samples
    assert f"with {kept:,} pairs\n\n" in planned
