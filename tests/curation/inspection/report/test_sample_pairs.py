"""Sample pairs: from every split, as thumbnails, limited in size, deterministic, from the first samples of shards."""

import collections
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curation.inspection.report import sample_pairs as module
from curation.inspection.report.sample_pairs import allocate_pairs, read_sample_pairs
from shards.manifest import ShardEntry, read_manifest
from shards.reader import read_shard
from shards.schema import Sample, SampleRecord
from shards.writer import write_shard


def test_pairs_are_samples_of_the_shards_with_thumbnails(dataset: Path) -> None:
    manifest = read_manifest(dataset)
    samples = {sample.record.key: sample for path in dataset.glob("*/*.tar") for sample in read_shard(path)}
    pairs = read_sample_pairs(dataset, manifest.splits)
    assert len(pairs) == len({pair.key for pair in pairs}) == len(samples)
    assert {pair.split for pair in pairs} == set(manifest.splits)
    for pair in pairs[:5]:
        record = samples[pair.key].record
        assert (pair.caption, pair.motion_px, pair.gap_ms) == (record.caption, record.motion_px, record.gap_ms)
        with (
            Image.open(io.BytesIO(pair.target)) as thumbnail,
            Image.open(io.BytesIO(samples[pair.key].target)) as picture,
        ):
            assert (thumbnail.format, thumbnail.size, picture.size) == ("JPEG", (192, 192), (256, 256))
            difference = np.subtract(picture.resize(thumbnail.size), thumbnail, dtype=np.int16)
            assert np.abs(difference).mean() < 8
    assert read_sample_pairs(dataset, manifest.splits) == pairs


def test_thumbnails_stay_below_the_size_limit(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = read_manifest(dataset).splits
    all_pairs = read_sample_pairs(dataset, splits)
    monkeypatch.setattr(module, "MAX_BYTES", sum(len(pair.source) + len(pair.target) for pair in all_pairs) // 2)
    fewer = read_sample_pairs(dataset, splits)
    assert fewer == all_pairs[: len(fewer)]
    assert 0 < len(fewer) < len(all_pairs)
    assert {pair.split for pair in fewer} == set(splits)


def test_pairs_are_allocated_to_every_split_up_to_its_size() -> None:
    assert allocate_pairs(300, {"train": 700_000, "val": 70_000, "test": 30}) == {"train": 186, "val": 64, "test": 30}
    assert allocate_pairs(300, {"train": 1000, "val": 0}) == {"train": 300, "val": 0}
    assert allocate_pairs(300, {"train": 5}) == {"train": 5}
    assert allocate_pairs(300, {}) == {}


def test_only_the_start_of_shards_is_read(dataset: Path, tmp_path: Path) -> None:
    sample = next(read_shard(next((dataset / "train").glob("*.tar"))))
    entries = []
    for number in range(60):
        path = tmp_path / "train" / f"{number:05d}.tar"
        write_shard(path, [vary(sample, number, source_index) for source_index in range(20)])
        # Truncate the shard after its first twelve samples.
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 62 // 100])
        entries.append(ShardEntry(name=path.name, num_samples=1000, num_bytes=len(data), sha256=""))
    entries[-1] = dataclasses.replace(entries[-1], num_samples=2)
    split = dataclasses.replace(read_manifest(dataset).splits["train"], num_samples=59_002, shards=tuple(entries))
    pairs = read_sample_pairs(tmp_path, {"train": split})
    assert len(pairs) == 300
    assert collections.Counter(pair.shard for pair in pairs)["00059.tar"] == 2
    assert len({pair.shard for pair in pairs}) == 30
    assert len({pair.shard for pair in pairs[:100]}) == 30


def vary(sample: Sample, number: int, source_index: int) -> Sample:
    """Return the sample with another clip key and other frames."""
    record: SampleRecord = dataclasses.replace(
        sample.record, clip_key=f"c{number}", source_index=source_index, target_index=99
    )
    return dataclasses.replace(sample, record=record)
