"""Pictures that lie in another data set are copied: the same bytes as if they were encoded anew, and only then."""

import shutil
from pathlib import Path

import pytest

from curation.config import CurationConfig
from curation.decode.probe import ProbedClip
from curation.errors import SourceChangedError
from curation.export import encode as export
from curation.export.dataset import read_finished
from curation.export.reuse import Span, find_reusable_pictures, read_spans
from curation.options import RunOptions
from curation.pipeline import curate
from curation.run.progress import Progress
from curation.run.sandbox import isolate
from shards.reader import read_shard
from shards.verify import verify_dataset
from tests.curation.helpers import make_run, shard_hashes

NARROW = {"min_motion": 3.0, "max_motion": 15.0}


def make(listing: Path, out: Path, flow: Path | None, **given) -> None:
    curate(RunOptions(listing=listing, out=out, flow=flow, workers=0), CurationConfig(**given), Progress(quiet=True))


def reusable_in(dataset: Path, sha256: str | None = None, **given):
    rows = read_finished(dataset).own_clips.to_pylist()
    probed = {row["clip_key"]: ProbedClip(clip_key=row["clip_key"], sha256=sha256 or row["sha256"]) for row in rows}
    options = RunOptions(listing="none", out=dataset.parent / "new", flow=dataset / "flow")
    return find_reusable_pictures(make_run(options, CurationConfig(**given)), probed).of(probed)


def test_every_picture_of_a_data_set_lies_ready(dataset):
    ready = reusable_in(dataset)
    samples = [sample for path in sorted(dataset.glob("*/*.tar")) for sample in read_shard(path)]
    seen = set()
    for sample in samples:
        record = sample.record
        source, target = (record.clip_key, record.source_index), (record.clip_key, record.target_index)
        assert read_spans({one: ready[one] for one in (source, target)}) == {
            source: sample.source,
            target: sample.target,
        }
        seen |= {source, target}
    assert ready.keys() == seen


def test_the_bytes_are_those_of_a_run_that_has_nothing_ready(listing, dataset, tmp_path, monkeypatch):
    alone = shutil.copytree(dataset / "flow", tmp_path / "alone" / "flow")
    num_encoded = []

    def spy(limits, function, frames, *rest, **options):
        num_encoded.append(len(frames))
        return isolate(limits, function, frames, *rest, **options)

    monkeypatch.setattr(export, "isolate", spy)
    make(listing, tmp_path / "anew", alone, **NARROW)
    num_encoded_anew, num_encoded[:] = sum(num_encoded), []
    make(listing, tmp_path / "copied", dataset / "flow", **NARROW)
    assert shard_hashes(tmp_path / "copied") == shard_hashes(tmp_path / "anew")
    assert 0 < 2 * sum(num_encoded) < num_encoded_anew
    verify_dataset(tmp_path / "copied")


@pytest.mark.parametrize("given", [{"quality": 80}, {"image_format": "png"}, {"resolution": 64}])
def test_pictures_that_are_encoded_otherwise_do_not_count(dataset, given):
    assert reusable_in(dataset, **given) == {}


def test_a_shard_that_is_gone_or_damaged_has_nothing_ready(listing, dataset, tmp_path):
    present = Path(shutil.copytree(dataset, tmp_path / "present"))
    shard = present / "train" / "00000.tar"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    damaged = reusable_in(present)
    assert all(span.path != shard for span in damaged.values())
    shutil.copytree(present / "flow", tmp_path / "alone" / "flow")
    make(listing, tmp_path / "remade", present / "flow", **NARROW)
    make(listing, tmp_path / "anew", tmp_path / "alone" / "flow", **NARROW)
    assert shard_hashes(tmp_path / "remade") == shard_hashes(tmp_path / "anew")


def test_pictures_of_a_changed_gif_are_not_reused(dataset):
    assert reusable_in(dataset, sha256="0" * 64) == {}


@pytest.mark.parametrize("there", [b"01234567", None], ids=["cut short", "gone"])
def test_what_can_no_longer_be_read_is_told(tmp_path, there):
    path = tmp_path / "00000.tar"
    path.write_bytes(b"0123456789")
    spans = {("a", 2): Span(path, 7, 3), ("a", 1): Span(path, 2, 3)}
    assert read_spans(spans) == {("a", 2): b"789", ("a", 1): b"234"}
    path.write_bytes(there) if there else path.unlink()
    with pytest.raises(SourceChangedError, match="its pictures were to be copied and cannot be read"):
        read_spans(spans)
