"""Small pictures of every sample in one Parquet file."""

import io

import pyarrow.parquet as pq
import pytest
from PIL import Image

from curation.inspection.previews import SIDE_PX, export_previews
from curation.run.progress import Progress
from shards.manifest import read_manifest
from shards.reader import read_shard


@pytest.fixture(scope="module")
def previews(dataset, tmp_path_factory):
    path = tmp_path_factory.mktemp("previews") / "previews.parquet"
    manifest = read_manifest(dataset)
    assert export_previews(dataset, manifest, path, Progress(quiet=True)) == 120
    return path


def test_rows_are_the_samples_in_the_order_of_the_shards(dataset, previews):
    shards = [path for split in ("train", "val") for path in sorted((dataset / split).glob("*.tar"))]
    records = [sample.record for shard in shards for sample in read_shard(shard)]
    rows = pq.read_table(previews).to_pylist()
    assert [row["key"] for row in rows] == [record.key for record in records]
    for row, record in zip(rows, records, strict=True):
        assert all(row[name] == getattr(record, name) for name in ("split", "caption", "uri", "gap_ms"))
        assert row["motion_px"] == pytest.approx(record.motion_px)


def test_pictures_are_small_and_the_third_one_shows_both_in_turn(previews):
    row = pq.read_table(previews).slice(0, 1).to_pylist()[0]
    source, target, blink = (Image.open(io.BytesIO(row[name]["bytes"])) for name in ("source", "target", "blink"))
    assert {picture.size for picture in (source, target, blink)} == {(SIDE_PX, SIDE_PX)}
    assert {picture.format for picture in (source, target, blink)} == {"WEBP"}
    assert (source.n_frames, target.n_frames, blink.n_frames) == (1, 1, 2)
    assert source.tobytes() != target.tobytes()


def test_hugging_face_datasets_decodes_the_pictures(previews, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    rows = datasets.load_dataset("parquet", data_files=str(previews), split="train", cache_dir=str(tmp_path))
    assert rows[0]["blink"].size == (SIDE_PX, SIDE_PX)
