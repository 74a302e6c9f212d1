"""Pictures are copied from another data set if they have the same bytes, and encoded otherwise."""

import shutil
from pathlib import Path

import pytest

from curation.config import CurationConfig
from curation.decode.probe import ProbedClip
from curation.errors import SourceChangedError
from curation.export import encode
from curation.export.dataset import read_finished
from curation.export.reuse import Span, find_reusable_pictures, read_spans
from curation.options import RunOptions
from curation.run.sandbox import isolate
from shards.reader import read_shard
from shards.verification.dataset import verify_dataset
from tests.curation.helpers import make_run, run, shard_hashes

NARROW = CurationConfig(min_motion=3.0, max_motion=15.0)


def find_reusable(dataset: Path, sha256: str | None = None, **config):
    """Find the reusable pictures of all clips, whose GIFs have the given hash now."""
    rows = read_finished(dataset).own_clips.to_pylist()
    probed = {row["clip_key"]: ProbedClip(clip_key=row["clip_key"], sha256=sha256 or row["sha256"]) for row in rows}
    options = RunOptions(listing="none", out=dataset.parent / "new", flow=dataset / "flow")
    return find_reusable_pictures(make_run(options, CurationConfig(**config)), probed).find(probed)


def test_every_picture_of_a_data_set_is_reusable(dataset):
    expected = {}
    for shard in sorted(dataset.glob("*/*.tar")):
        for sample in read_shard(shard):
            expected[sample.record.clip_key, sample.record.source_index] = sample.source
            expected[sample.record.clip_key, sample.record.target_index] = sample.target
    assert read_spans(find_reusable(dataset)) == expected


def test_reused_pictures_give_the_same_shards_with_less_encoding(listing, dataset, tmp_path, monkeypatch):
    num_encoded = []

    def count_frames(limits, function, frames, *arguments, **options):
        num_encoded.append(len(frames))
        return isolate(limits, function, frames, *arguments, **options)

    # No other room sees which frames are encoded.
    monkeypatch.setattr(encode, "isolate", count_frames)
    flow_alone = shutil.copytree(dataset / "flow", tmp_path / "alone" / "flow")
    run(listing, tmp_path / "encoded", NARROW, flow=flow_alone)
    num_without_reuse, num_encoded[:] = sum(num_encoded), []
    run(listing, tmp_path / "reused", NARROW, flow=dataset / "flow")
    assert shard_hashes(tmp_path / "reused") == shard_hashes(tmp_path / "encoded")
    assert 0 < 2 * sum(num_encoded) < num_without_reuse
    verify_dataset(tmp_path / "reused")


@pytest.mark.parametrize("config", [{"quality": 80}, {"image_format": "png"}, {"resolution": 64}])
def test_pictures_with_other_encoding_parameters_are_not_reused(dataset, config):
    assert find_reusable(dataset, **config) == {}


def test_pictures_of_a_changed_gif_are_not_reused(dataset):
    assert find_reusable(dataset, sha256="0" * 64) == {}


def test_pictures_of_a_damaged_or_missing_shard_are_not_reused(listing, dataset, tmp_path):
    copied = Path(shutil.copytree(dataset, tmp_path / "copied"))
    shard = copied / "train" / "00000.tar"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    reusable = find_reusable(copied)
    assert {span.shard for span in reusable.values()} == {str(copied / "val" / "00000.tar")}
    flow_alone = shutil.copytree(dataset / "flow", tmp_path / "alone" / "flow")
    run(listing, tmp_path / "reused", NARROW, flow=copied / "flow")
    run(listing, tmp_path / "encoded", NARROW, flow=flow_alone)
    assert shard_hashes(tmp_path / "reused") == shard_hashes(tmp_path / "encoded")
    shard.unlink()
    assert find_reusable(copied) == reusable


@pytest.mark.parametrize("content", [b"01234567", None], ids=["truncated", "missing"])
def test_reading_from_a_truncated_or_missing_shard_raises(tmp_path, content):
    path = tmp_path / "00000.tar"
    path.write_bytes(b"0123456789")
    spans = {("a", 2): Span(str(path), 7, 3), ("a", 1): Span(str(path), 2, 3)}
    assert read_spans(spans) == {("a", 2): b"789", ("a", 1): b"234"}
    path.write_bytes(content) if content else path.unlink()
    with pytest.raises(SourceChangedError, match=r"cannot copy pictures from .*; run the same command again"):
        read_spans(spans)
