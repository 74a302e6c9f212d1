"""resplit writes what a run with the same options would write, without measuring a pair."""

import dataclasses
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.config import CurationConfig
from curation.errors import OutputError, SourceChangedError
from curation.export.dataset import find_sources, read_finished
from curation.options import RunOptions
from curation.pipeline import curate
from curation.resplit import resplit
from curation.run.progress import Progress
from shards.errors import DatasetError
from shards.manifest import read_manifest
from shards.verification.dataset import verify_dataset
from tests.curation.helpers import shard_hashes


def resplit_dataset(
    dataset: Path, out: Path, gifs: Path | None = None, splits: Path | None = None, workers: int = 0, **given: object
):
    present = read_finished(dataset)
    options = RunOptions(**find_sources(present, gifs), out=out, splits=splits, flow=dataset / "flow", workers=workers)
    return resplit(present, options, present.config(given), Progress(quiet=True))


@pytest.mark.parametrize("given", [{"min_motion": 3.0, "max_motion": 15.0}, {"seed": 5, "balance": "none"}])
def test_resplit_writes_what_a_run_writes(listing, dataset, tmp_path, given):
    summary = resplit_dataset(dataset, tmp_path / "resplit", **given)
    assert summary.num_pairs_measured == 0
    verify_dataset(tmp_path / "resplit")
    options = RunOptions(listing=listing, out=tmp_path / "run", flow=dataset / "flow", workers=0)
    curate(options, CurationConfig(**given), Progress(quiet=True))
    assert shard_hashes(tmp_path / "resplit") == shard_hashes(tmp_path / "run")
    resplit_manifest, run_manifest = (read_manifest(tmp_path / name) for name in ("resplit", "run"))
    assert resplit_manifest.files["clips.parquet"] == run_manifest.files["clips.parquet"]
    # The report shows times, and a part of the flow table may hold the clips in other groups.
    assert dataclasses.replace(resplit_manifest, files={}) == dataclasses.replace(run_manifest, files={})
    assert pq.read_table(tmp_path / "resplit" / "clips.parquet").equals(
        pq.read_table(tmp_path / "run" / "clips.parquet")
    )
    assert resplit_dataset(dataset, tmp_path / "resplit", **given) is None


def test_only_gifs_of_kept_clips_are_read(listing, dataset, tmp_path):
    gifs = shutil.copytree(listing.parent / "gifs", tmp_path / "gifs")
    resplit_dataset(dataset, tmp_path / "all", gifs=gifs, min_motion=17.0)
    clips = pq.read_table(tmp_path / "all" / "clips.parquet").to_pylist()
    unkept = [clip for clip in clips if clip["verdict"] not in ("kept", "merged")]
    assert any(clip["verdict"] == "no_pair_in_range" for clip in unkept)
    for clip in unkept:
        (gifs / Path(clip["uri"]).name).unlink(missing_ok=True)
    resplit_dataset(dataset, tmp_path / "some", gifs=gifs, min_motion=17.0)
    assert shard_hashes(tmp_path / "some") == shard_hashes(tmp_path / "all")


@pytest.mark.parametrize("workers", [0, 1])
def test_missing_and_changed_gifs_are_fetch_failed(listing, dataset, tmp_path, workers):
    gifs = shutil.copytree(listing.parent / "gifs", tmp_path / "gifs")
    (gifs / "texture_000.gif").unlink()
    (gifs / "texture_001.gif").write_bytes((gifs / "texture_002.gif").read_bytes())
    summary = resplit_dataset(dataset, tmp_path / "out", gifs=gifs, workers=workers)
    assert summary.manifest.verdicts["fetch_failed"] == 2
    assert summary.num_pairs_measured == 0
    clips = {clip["uri"]: clip for clip in pq.read_table(tmp_path / "out" / "clips.parquet").to_pylist()}
    assert "there is no file" in clips["gifs/texture_000.gif"]["detail"]
    assert "other bytes" in clips["gifs/texture_001.gif"]["detail"]
    verify_dataset(tmp_path / "out")


def test_official_lists_set_the_splits_and_are_kept_by_default(listing, dataset, tmp_path):
    rows = list(dict.fromkeys(line.split("\t")[0] for line in listing.read_text().splitlines()))
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "test.txt").write_text("\n".join(rows[:4]))
    (tmp_path / "lists" / "train.txt").write_text("\n".join(rows[4:]))
    resplit_dataset(dataset, tmp_path / "listed", splits=tmp_path / "lists")
    assert set(read_manifest(tmp_path / "listed").splits) == {"train", "test"}
    resplit_dataset(tmp_path / "listed", tmp_path / "again", pairs_per_gif=3, seed=9)
    splits = [pq.read_table(tmp_path / name / "clips.parquet")["split"] for name in ("listed", "again")]
    assert splits[0].equals(splits[1])


def test_impossible_requests_are_reported(dataset, tmp_path):
    with pytest.raises(OutputError, match="the data set itself"):
        resplit_dataset(dataset, dataset)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceChangedError, match=r"none of the 12 GIFs .* there is no file .* by --gifs"):
        resplit_dataset(dataset, tmp_path / "out", gifs=tmp_path / "empty")
    copied = shutil.copytree(dataset, tmp_path / "copied")
    next((copied / "flow").glob("part-*.parquet")).unlink()
    with pytest.raises(DatasetError, match="flow: "):
        resplit_dataset(copied, tmp_path / "out")
    with pytest.raises(DatasetError, match="nothing in it was measured by this version"):
        resplit_dataset(dataset, tmp_path / "out", resolution=128)
