"""Runs of the whole pipeline: verdicts, resume, reuse of a flow table, protection of finished data sets."""

import dataclasses
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from curation.config import CurationConfig
from curation.errors import ListingError, OutputError
from curation.options import RunOptions
from curation.run.saved_options import save_options
from examples.draw_gifs import DrawnGif, draw_frames, save_gif
from shards.manifest import read_manifest, write_manifest
from shards.verification.dataset import verify_dataset
from shards.writer import file_sha256
from tests.curation.helpers import run, shard_hashes


@pytest.fixture
def copied(dataset: Path, tmp_path: Path) -> Path:
    shutil.copytree(dataset, tmp_path / "out")
    return tmp_path / "out"


def test_every_row_gets_a_verdict(dataset):
    proof = verify_dataset(dataset)
    assert (proof.num_rows, proof.num_pairs) == (15, 1920)
    verdicts = {name: count for name, count in read_manifest(dataset).verdicts.items() if count}
    assert verdicts == {"kept": 12, "merged": 1, "still": 1, "not_a_gif": 1}
    assert sorted(path.name for path in dataset.iterdir()) == [
        "README.md", "clips.parquet", "dataset.json", "flow", "report.html", "train", "val",
    ]  # fmt: skip


def test_second_run_does_nothing(listing, copied):
    before = {path: path.stat().st_mtime_ns for path in copied.rglob("*")}
    assert run(listing, copied) is None
    assert {path: path.stat().st_mtime_ns for path in copied.rglob("*") if path.is_file()} == {
        path: time for path, time in before.items() if path.is_file()
    }


def test_second_run_removes_what_a_run_left_that_was_killed_after_it_finished(listing, copied):
    save_options(copied / ".work", RunOptions(listing=listing, out=copied), CurationConfig())
    assert run(listing, copied) is None
    assert not (copied / ".work").exists()


def test_manifest_of_a_version_that_recorded_more_software_is_the_same_data_set(listing, copied):
    manifest = read_manifest(copied)
    write_manifest(copied, dataclasses.replace(manifest, software={**manifest.software, "webdataset": "1.0.2"}))
    assert run(listing, copied) is None
    write_manifest(copied, dataclasses.replace(manifest, software={**manifest.software, "pillow": "1.0"}))
    with pytest.raises(OutputError, match="other versions of the software"):
        run(listing, copied)


def test_data_set_with_other_parameters_is_not_overwritten(listing, copied, dataset):
    with pytest.raises(OutputError, match=r"max_motion 20\.0 there, 10 now.*--overwrite"):
        run(listing, copied, CurationConfig(max_motion=10))
    assert shard_hashes(copied) == shard_hashes(dataset)


def test_overwrite_reuses_measurements(listing, copied):
    summary = run(listing, copied, CurationConfig(max_motion=10, samples_per_shard=40), overwrite=True)
    assert summary.num_pairs_measured == 0
    assert len(read_manifest(copied).splits["train"].shards) == 3
    verify_dataset(copied)
    run(listing, copied, CurationConfig(max_motion=10), overwrite=True)
    verify_dataset(copied)  # Shards beyond the new plan are removed.


def test_reused_flow_table_gives_the_same_shards(listing, dataset, tmp_path):
    summary = run(listing, tmp_path / "out", flow=dataset / "flow")
    assert summary.num_pairs_measured == 0
    assert shard_hashes(tmp_path / "out") == shard_hashes(dataset)
    verify_dataset(tmp_path / "out")


def test_reused_parts_are_copied_byte_for_byte(listing, dataset, tmp_path):
    run(listing, tmp_path / "out", CurationConfig(min_motion=3), flow=dataset / "flow")
    copied, original = (
        {path.name: path.read_bytes() for path in (out / "flow").iterdir()} for out in (tmp_path / "out", dataset)
    )
    assert copied == original != {}


def test_flow_table_of_schema_version_1_is_reused_and_widened(listing, dataset, tmp_path):
    (tmp_path / "flow").mkdir()
    for path in (dataset / "flow").iterdir():
        table = pq.read_table(path)
        narrow = table.cast(table.schema.set(3, pa.field("gap_ms", pa.int32(), nullable=False)))
        pq.write_table(narrow, tmp_path / "part", write_page_checksum=True)
        (tmp_path / "part").rename(tmp_path / "flow" / f"part-{file_sha256(tmp_path / 'part')[:32]}.parquet")
    summary = run(listing, tmp_path / "out", flow=tmp_path / "flow")
    assert summary.num_pairs_measured == 0
    types = {pq.read_schema(path).field("gap_ms").type for path in (tmp_path / "out" / "flow").iterdir()}
    assert types == {pa.int64()}
    assert shard_hashes(tmp_path / "out") == shard_hashes(dataset)
    verify_dataset(tmp_path / "out")


def test_flow_table_is_reused_for_other_thresholds_and_a_shorter_listing(listing, dataset, tmp_path):
    shorter = listing.with_name("shorter.tsv")
    shorter.write_text("".join(listing.read_text().splitlines(keepends=True)[:5]))
    summary = run(shorter, tmp_path / "out", CurationConfig(min_motion=3, max_motion=15), flow=dataset / "flow")
    assert summary.num_pairs_measured == 0
    flow = ds.dataset(tmp_path / "out" / "flow", format="parquet").to_table()
    assert len(flow["clip_key"].unique()) == 5
    verify_dataset(tmp_path / "out")


def test_flow_table_of_another_method_is_refused(listing, dataset, tmp_path):
    with pytest.raises(OutputError, match="no flow table measured at resolution 128"):
        run(listing, tmp_path / "out", CurationConfig(resolution=128), flow=dataset / "flow")
    with pytest.raises(OutputError, match="no flow table"):
        run(listing, tmp_path / "out2", flow=tmp_path)


def test_only_a_changed_gif_is_measured_again(listing, tmp_path):
    shutil.copytree(listing.parent / "gifs", tmp_path / "gifs")
    copied_listing = Path(shutil.copy(listing, tmp_path))
    run(copied_listing, tmp_path / "out")
    changed = DrawnGif(name="", caption="", num_frames=5, dx=3.0, seed=99)
    save_gif(tmp_path / "gifs" / "texture_003.gif", draw_frames(changed))
    summary = run(copied_listing, tmp_path / "again", flow=tmp_path / "out" / "flow")
    assert summary.num_pairs_measured == 10
    verify_dataset(tmp_path / "again")


def test_changed_gif_of_a_finished_data_set_is_noticed_when_asked(listing, copied, tmp_path):
    shutil.copytree(listing.parent / "gifs", tmp_path / "gifs")
    moved = Path(shutil.copy(listing, tmp_path))
    assert run(moved, copied, check_sources=True) is None
    shutil.copy(tmp_path / "gifs" / "texture_001.gif", tmp_path / "gifs" / "texture_003.gif")
    (tmp_path / "gifs" / "texture_004.gif").unlink()
    assert run(moved, copied) is None, "GIFs are not looked at unless asked"
    with pytest.raises(OutputError, match=r"texture_003\.gif and 1 more changed after .*--overwrite"):
        run(moved, copied, check_sources=True)
    summary = run(moved, copied, check_sources=True, overwrite=True)
    assert summary.manifest.verdicts["duplicate"] == 1
    assert summary.manifest.verdicts["fetch_failed"] == 1
    assert run(moved, copied, check_sources=True) is None
    shutil.copy(tmp_path / "gifs" / "texture_005.gif", tmp_path / "gifs" / "texture_004.gif")
    with pytest.raises(OutputError, match=r"texture_004\.gif changed"):
        run(moved, copied, check_sources=True)


@pytest.mark.parametrize("config", [CurationConfig(resolution=0), CurationConfig(resolution=64, image_format="png")])
def test_other_resolutions_and_formats_are_valid(listing, tmp_path, config):
    run(listing, tmp_path / "out", config)
    verify_dataset(tmp_path / "out")


def test_listing_without_usable_clips_gives_a_valid_data_set(tmp_path):
    listing = tmp_path / "listing.tsv"
    (tmp_path / "page.gif").write_bytes(b"<html>")
    listing.write_text("page.gif\ta caption\npage.gif\tanother\n")
    summary = run(listing, tmp_path / "out")
    assert summary.manifest.verdicts["not_a_gif"] == 1
    assert summary.manifest.verdicts["merged"] == 1
    verify_dataset(tmp_path / "out")


def test_a_listing_of_which_nothing_can_be_read_is_an_error(tmp_path):
    listing = tmp_path / "listing.tsv"
    listing.write_text("nowhere.gif\ta caption\nelsewhere.gif\tanother\n")
    with pytest.raises(ListingError, match=r"none of the 2 GIFs .* there is no file .*/nowhere\.gif; check where"):
        run(listing, tmp_path / "out")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "1.zip").touch()
    with pytest.raises(ListingError, match=r"it has archives, which --gifs '.*/parts/\*\.zip' reads"):
        run(listing, tmp_path / "out", gifs=tmp_path / "parts")


def test_official_lists_set_the_splits(listing, tmp_path):
    rows = [line.split("\t")[0] for line in listing.read_text().splitlines()]
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "test.txt").write_text("\n".join(rows[:3]))
    (tmp_path / "lists" / "train.txt").write_text("\n".join(rows[3:]))
    run(listing, tmp_path / "out", splits=tmp_path / "lists")
    splits = pq.read_table(tmp_path / "out" / "clips.parquet")["split"].to_pylist()
    assert splits == ["test"] * 3 + ["train"] * 12
    assert set(read_manifest(tmp_path / "out").splits) == {"train", "test"}


def test_folder_with_other_files_is_refused(listing, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="--overwrite"):
        run(listing, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_bad_listing_creates_no_folder(tmp_path):
    with pytest.raises(ListingError):
        run(tmp_path / "missing.tsv", tmp_path / "out")
    assert not (tmp_path / "out").exists()
