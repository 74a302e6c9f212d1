"""webdataset, Hugging Face datasets and Ray Data read the shards without conversion."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from PIL import Image

from curation.run.workers import open_workers
from shards.errors import DatasetError
from shards.reader import read_shard
from shards.webdataset import open_pairs

NUM_SAMPLES = {"train": 110, "val": 10}


@pytest.fixture
def shards(dataset: Path) -> dict[str, list[str]]:
    """Paths of the shards by split."""
    return {split: [str(path) for path in sorted((dataset / split).glob("*.tar"))] for split in NUM_SAMPLES}


@pytest.fixture
def records(shards: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """The JSON of all samples by key, read with our own reader."""
    samples = [sample for paths in shards.values() for path in paths for sample in read_shard(Path(path))]
    assert len(samples) == sum(NUM_SAMPLES.values())
    return {sample.record.key: json.loads(sample.record.to_json()) for sample in samples}


def check_picture(picture: Any) -> None:
    """Check that a picture is a frame: 256 x 256, RGB, of more than one colour."""
    pixels = np.asarray(picture)
    assert pixels.shape == (256, 256, 3)
    assert np.ptp(pixels) > 50


def test_webdataset_reads_every_sample(shards: dict[str, list[str]], records: dict[str, dict[str, Any]]) -> None:
    for split, paths in shards.items():
        found = 0
        for sample in webdataset.WebDataset(paths, shardshuffle=False).decode("pil"):
            assert sample["json"] == records[sample["__key__"]]
            check_picture(sample["source.jpg"])
            check_picture(sample["target.jpg"])
            found += 1
        assert found == NUM_SAMPLES[split]


def test_open_pairs_yields_every_sample_of_a_split(dataset: Path, records: dict[str, dict[str, Any]]) -> None:
    expected = [record for record in records.values() if record["split"] == "train"]
    found = []
    for source, target, record in open_pairs(dataset):
        check_picture(source)
        check_picture(target)
        found.append(record)
    assert found == expected
    shuffled = [record for _, _, record in open_pairs(dataset, shuffle=50)]
    assert shuffled != expected
    assert sorted(map(str, shuffled)) == sorted(map(str, expected))
    with pytest.raises(DatasetError, match="no split 'none'; the splits are train, val"):
        open_pairs(dataset, "none")


def test_hugging_face_datasets_reads_every_sample(
    shards: dict[str, list[str]],
    records: dict[str, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    import datasets

    found = datasets.load_dataset("webdataset", data_files=shards, cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in found.items()} == NUM_SAMPLES
    for rows in found.values():
        for sample in rows:
            assert sample["json"] == records[sample["__key__"]]
            check_picture(sample["source.jpg"])
            check_picture(sample["target.jpg"])


@pytest.mark.slow
def test_ray_data_reads_every_sample(shards: dict[str, list[str]], records: dict[str, dict[str, Any]]) -> None:
    with open_workers(1) as workers:
        workers.start()
        import ray

        ray.data.DataContext.get_current().enable_progress_bars = False
        for split, paths in shards.items():
            # Not decoded, because Ray would move pictures as arrays of 400 KB a sample through its object store.
            encoded = ray.data.read_webdataset(paths, decoder=None).take_all()
            assert len(encoded) == NUM_SAMPLES[split]
            for sample in encoded:
                assert json.loads(sample["json"]) == records[sample["__key__"]]
                for role in ("source", "target"):
                    check_picture(Image.open(io.BytesIO(sample[f"{role}.jpg"])))
        for sample in ray.data.read_webdataset(shards["val"]).take_all():
            assert sample["json"]["captions"] == records[sample["__key__"]]["captions"]
            check_picture(sample["source.jpg"])
    assert not ray.is_initialized()
