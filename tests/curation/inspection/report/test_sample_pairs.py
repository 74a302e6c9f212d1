"""Pairs to look at: from every split, small, bounded, the same every time, and of the heads of shards alone."""

import collections
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curation.inspection.report import sample_pairs as module
from curation.inspection.report.sample_pairs import draw_pairs, share_out
from shards.manifest import ShardEntry, read_manifest
from shards.reader import read_shard
from shards.schema import Sample, SampleRecord
from shards.writer import write_shard


def test_pairs_are_those_of_the_shards_made_small(dataset: Path) -> None:
    manifest = read_manifest(dataset)
    samples = {s.record.key: s for path in dataset.glob("*/*.tar") for s in read_shard(path)}
    pairs = draw_pairs(dataset, manifest.splits)
    assert len(pairs) == len({pair.key for pair in pairs}) == len(samples)
    assert {pair.split for pair in pairs} == set(manifest.splits)
    for pair in pairs[:5]:
        record = samples[pair.key].record
        assert (pair.caption, pair.motion_px, pair.gap_ms) == (record.caption, record.motion_px, record.gap_ms)
        with Image.open(io.BytesIO(pair.target)) as small, Image.open(io.BytesIO(samples[pair.key].target)) as large:
            assert (small.format, small.size, large.size) == ("JPEG", (192, 192), (256, 256))
            difference = np.subtract(large.resize(small.size), small, dtype=np.int16)
            assert np.abs(difference).mean() < 8
    assert draw_pairs(dataset, manifest.splits) == pairs


def test_pictures_take_no_more_bytes_than_they_may(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = read_manifest(dataset).splits
    whole = draw_pairs(dataset, splits)
    monkeypatch.setattr(module, "NUM_BYTES", sum(len(pair.source) + len(pair.target) for pair in whole) // 2)
    fewer = draw_pairs(dataset, splits)
    assert fewer == whole[: len(fewer)]
    assert 0 < len(fewer) < len(whole)
    assert {pair.split for pair in fewer} == set(splits)


def test_every_split_is_seen_and_none_gives_more_than_it_has() -> None:
    assert share_out(300, {"train": 700_000, "val": 70_000, "test": 30}) == {"train": 186, "val": 64, "test": 30}
    assert share_out(300, {"train": 1000, "val": 0}) == {"train": 300, "val": 0}
    assert share_out(300, {"train": 5}) == {"train": 5}
    assert share_out(300, {}) == {}


def test_the_heads_of_shards_are_enough(dataset: Path, tmp_path: Path) -> None:
    sample = next(read_shard(next((dataset / "train").glob("*.tar"))))
    entries = []
    for number in range(60):
        path = tmp_path / "train" / f"{number:05d}.tar"
        write_shard(path, [retold(sample, number, place) for place in range(20)])
        # What follows the first twelve samples is torn off: nobody may look there.
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 62 // 100])
        entries.append(ShardEntry(name=path.name, num_samples=1000, num_bytes=len(data), sha256=""))
    entries[-1] = dataclasses.replace(entries[-1], num_samples=2)
    split = dataclasses.replace(read_manifest(dataset).splits["train"], num_samples=59_002, shards=tuple(entries))
    pairs = draw_pairs(tmp_path, {"train": split})
    assert len(pairs) == 300
    assert collections.Counter(pair.shard for pair in pairs)["00059.tar"] == 2
    assert len({pair.shard for pair in pairs}) == 30
    assert len({pair.shard for pair in pairs[:100]}) == 30


def retold(sample: Sample, number: int, place: int) -> Sample:
    """Make another sample of one."""
    record: SampleRecord = dataclasses.replace(
        sample.record, clip_key=f"c{number}", source_index=place, target_index=99
    )
    return dataclasses.replace(sample, record=record)
