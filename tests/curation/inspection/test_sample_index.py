"""The sample index: complete, filtered, cached, and rebuilt if the cache is damaged."""

import shutil

import pyarrow as pa
import pytest

from curation.inspection.sample_index import Filters, find_samples, load_index, read_picture
from curation.run.progress import Progress
from shards.errors import DatasetError
from shards.manifest import read_manifest
from shards.reader import read_shard


def load(out):
    return load_index(out, read_manifest(out), Progress(quiet=True))


def read_samples(out):
    paths = sorted(out.glob("*/*.tar"), key=lambda path: (path.parent.name != "train", path))
    return [sample for path in paths for sample in read_shard(path)]


def test_index_has_every_sample_and_its_pictures(dataset):
    index, samples = load(dataset), read_samples(dataset)
    assert index.num_rows == len(samples) > 20
    for row in range(0, len(samples), 7):
        record = samples[row].record
        assert (index["clip_key"][row].as_py(), index["motion_px"][row].as_py()) == (
            record.clip_key,
            pytest.approx(record.motion_px),
        )
        assert read_picture(dataset, index, row, "source") == (samples[row].source, "image/jpeg")
        assert read_picture(dataset, index, row, "target") == (samples[row].target, "image/jpeg")


def test_filters_select_matching_samples(dataset):
    index, records = load(dataset), [sample.record for sample in read_samples(dataset)]

    def find(**filters):
        return find_samples(index, Filters(**filters)).to_pylist()

    assert find() == list(range(len(records)))
    expected = [row for row, record in enumerate(records) if 5 <= record.motion_px <= 9 and record.split == "train"]
    assert find(split="train", min_motion=5, max_motion=9) == expected != []
    expected = [row for row, record in enumerate(records) if "left" in record.caption and "glides" in record.caption]
    assert find(text="LEFT glides") == expected != []
    assert find(text="(no such [words") == []


def test_cached_index_reads_no_sample_but_opens_every_shard(dataset, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(dataset, out)
    first = load(out)
    for path in out.glob("*/*.tar"):
        path.write_bytes(bytes(path.stat().st_size))
    assert load(out).equals(first)
    shard = next((out / "train").glob("*.tar"))
    shard.write_bytes(b"shorter")
    with pytest.raises(DatasetError, match=rf"{shard.name} has 7 bytes, but dataset.json lists .*; copy the data set"):
        load(out)
    shard.unlink()
    with pytest.raises(DatasetError, match=rf"{shard.name} cannot be opened: No such file or directory"):
        load(out)


def test_damaged_cache_is_rebuilt(dataset, cache_folder):
    first = load(dataset)
    (path,) = cache_folder.glob("pix2gif/views/*.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    assert load(dataset).equals(first)
    assert isinstance(first, pa.Table)


def test_truncated_shard_raises_with_its_name(dataset, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(dataset, out)
    shard = next((out / "train").glob("*.tar"))
    shard.write_bytes(shard.read_bytes()[:50_000])
    with pytest.raises(DatasetError, match=shard.name):
        load(out)
