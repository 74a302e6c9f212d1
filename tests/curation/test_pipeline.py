import shutil
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from curation.config import CurationConfig
from curation.errors import ListingError, OutputError
from examples.draw_gifs import DrawnGif, draw_frames, save_gif
from shards.manifest import read_manifest
from shards.verify import verify_dataset
from tests.curation.helpers import run, shard_hashes


@pytest.fixture
def copied(dataset: Path, tmp_path: Path) -> Path:
    shutil.copytree(dataset, tmp_path / "out")
    return tmp_path / "out"


def test_a_finished_data_set_holds_and_accounts_for_every_row(dataset):
    proof = verify_dataset(dataset)
    assert (proof.num_rows, proof.num_pairs) == (15, 1920)
    verdicts = {name: count for name, count in read_manifest(dataset).verdicts.items() if count}
    assert verdicts == {"kept": 12, "merged": 1, "still": 1, "not_a_gif": 1}
    assert sorted(path.name for path in dataset.iterdir()) == [
        "README.md", "clips.parquet", "dataset.json", "flow", "report.html", "train", "val",
    ]  # fmt: skip


def test_running_again_does_nothing(listing, copied):
    before = {path: path.stat().st_mtime_ns for path in copied.rglob("*")}
    assert run(listing, copied) is None
    assert {path: path.stat().st_mtime_ns for path in copied.rglob("*") if path.is_file()} == {
        path: time for path, time in before.items() if path.is_file()
    }


def test_an_interrupted_run_measures_only_what_is_missing(listing, copied, dataset):
    (copied / "dataset.json").unlink()
    (copied / ".work").mkdir()
    lost = sorted((copied / "flow").iterdir())[0]
    lost.unlink()
    summary = run(listing, copied)
    assert 0 < summary.num_pairs_measured < summary.curated.num_pairs
    assert summary.num_reused > 0
    assert shard_hashes(copied) == shard_hashes(dataset)
    verify_dataset(copied)


def test_a_torn_part_is_measured_again(listing, copied, dataset):
    (copied / "dataset.json").unlink()
    (copied / ".work").mkdir()
    torn = sorted((copied / "flow").iterdir())[0]
    torn.write_bytes(torn.read_bytes()[:-40])
    run(listing, copied)
    assert shard_hashes(copied) == shard_hashes(dataset)
    verify_dataset(copied)


def test_a_lost_shard_is_made_again(listing, copied, dataset):
    (copied / "train" / "00000.tar").unlink()
    summary = run(listing, copied)
    assert summary.num_pairs_measured == 0
    assert shard_hashes(copied) == shard_hashes(dataset)


def test_a_finished_data_set_of_other_parameters_is_refused_and_kept(listing, copied, dataset):
    with pytest.raises(OutputError, match=r"max_motion 20\.0 there, 10 now.*--overwrite"):
        run(listing, copied, CurationConfig(max_motion=10))
    assert shard_hashes(copied) == shard_hashes(dataset)


def test_overwriting_measures_nothing_that_was_measured(listing, copied):
    summary = run(listing, copied, CurationConfig(max_motion=10, samples_per_shard=40), overwrite=True)
    assert summary.num_pairs_measured == 0
    assert len(read_manifest(copied).splits["train"].shards) == 3
    verify_dataset(copied)
    run(listing, copied, CurationConfig(max_motion=10), overwrite=True)
    verify_dataset(copied)  # The shards that are no longer wanted are gone.


def test_a_flow_table_of_another_run_gives_the_same_shards_and_measures_nothing(listing, dataset, tmp_path):
    summary = run(listing, tmp_path / "out", flow=dataset / "flow")
    assert summary.num_pairs_measured == 0
    assert shard_hashes(tmp_path / "out") == shard_hashes(dataset)
    verify_dataset(tmp_path / "out")


def test_parts_of_the_same_clips_are_copied_without_a_task(listing, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("curation.flow.stage.make_part", lambda task: pytest.fail(f"a task was made: {task}"))
    run(listing, tmp_path / "out", CurationConfig(min_motion=3), flow=dataset / "flow")
    copied, original = (
        {path.name: path.read_bytes() for path in (out / "flow").iterdir()} for out in (tmp_path / "out", dataset)
    )
    assert copied == original != {}


def test_a_flow_table_serves_other_thresholds_and_part_of_the_listing(listing, dataset, tmp_path):
    shorter = listing.with_name("shorter.tsv")
    shorter.write_text("".join(listing.read_text().splitlines(keepends=True)[:5]))
    summary = run(shorter, tmp_path / "out", CurationConfig(min_motion=3, max_motion=15), flow=dataset / "flow")
    assert summary.num_pairs_measured == 0
    flow = ds.dataset(tmp_path / "out" / "flow", format="parquet").to_table()
    assert len(flow["clip_key"].unique()) == 5
    verify_dataset(tmp_path / "out")


def test_a_flow_table_measured_otherwise_is_refused(listing, dataset, tmp_path):
    with pytest.raises(OutputError, match="no flow table measured at resolution 128"):
        run(listing, tmp_path / "out", CurationConfig(resolution=128), flow=dataset / "flow")
    with pytest.raises(OutputError, match="no flow table"):
        run(listing, tmp_path / "out2", flow=tmp_path)


def test_a_changed_gif_is_measured_again_and_no_other(listing, tmp_path):
    shutil.copytree(listing.parent / "gifs", tmp_path / "gifs")
    ours = shutil.copy(listing, tmp_path)
    run(Path(ours), tmp_path / "out")
    changed = DrawnGif(name="", caption="", num_frames=5, dx=3.0, seed=99)
    save_gif(tmp_path / "gifs" / "texture_003.gif", draw_frames(changed))
    summary = run(Path(ours), tmp_path / "again", flow=tmp_path / "out" / "flow")
    assert summary.num_pairs_measured == 10
    verify_dataset(tmp_path / "again")


@pytest.mark.parametrize("config", [CurationConfig(resolution=0), CurationConfig(resolution=64, image_format="png")])
def test_other_resolutions_and_formats_hold(listing, tmp_path, config):
    run(listing, tmp_path / "out", config)
    verify_dataset(tmp_path / "out")


def test_a_listing_of_which_nothing_is_kept_still_closes_its_accounts(tmp_path):
    listing = tmp_path / "listing.tsv"
    listing.write_text("nowhere.gif\ta caption\nnowhere.gif\tanother\n")
    summary = run(listing, tmp_path / "out")
    assert summary.manifest.verdicts["fetch_failed"] == 1
    assert summary.manifest.verdicts["merged"] == 1
    verify_dataset(tmp_path / "out")


def test_official_lists_decide_the_splits(listing, tmp_path):
    rows = [line.split("\t")[0] for line in listing.read_text().splitlines()]
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "test.txt").write_text("\n".join(rows[:3]))
    (tmp_path / "lists" / "train.txt").write_text("\n".join(rows[3:]))
    run(listing, tmp_path / "out", splits=tmp_path / "lists")
    splits = pq.read_table(tmp_path / "out" / "clips.parquet")["split"].to_pylist()
    assert splits == ["test"] * 3 + ["train"] * 12
    assert set(read_manifest(tmp_path / "out").splits) == {"train", "test"}


def test_a_folder_of_something_else_is_left_alone(listing, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="--overwrite"):
        run(listing, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_bad_listing_leaves_nothing_behind(tmp_path):
    with pytest.raises(ListingError):
        run(tmp_path / "missing.tsv", tmp_path / "out")
    assert not (tmp_path / "out").exists()
