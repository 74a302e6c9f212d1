"""Unsuitable data and values raise DataError when the stream is created, before a worker is started."""

import pytest

from shards.manifest import read_manifest
from tests.training.data.helpers import config, copy, write_split
from training.data import BatchStream, DataError


def refused(match, location, *, ranks=1, **changes):
    with pytest.raises(DataError, match=match) as caught:
        BatchStream(config(location, **changes), world_size=ranks)
    assert "\n" not in str(caught.value)


def test_folder_without_a_manifest(tmp_path):
    refused("no dataset.json, so no finished data set", tmp_path)
    refused("no dataset.json, so no finished data set", tmp_path / "nowhere")


def test_unknown_scheme():
    refused("not from ftp://", "ftp://host/data")


def test_missing_shard_and_shard_of_another_size(uneven, tmp_path):
    folder = copy(uneven, tmp_path / "less")
    path = folder / "train" / "00002.tar"
    path.write_bytes(path.read_bytes()[:-1024])
    refused(r"00002.tar: [\d,]+ bytes, not [\d,]+ as in the manifest", folder)
    path.unlink()
    refused("00002.tar: missing", folder)


def test_edited_manifest(uneven, tmp_path):
    folder = copy(uneven, tmp_path / "edited")
    write_split(folder, read_manifest(folder), num_samples=111)
    refused("do not add up", folder)
    (folder / "dataset.json").write_text("[]")
    refused("not a manifest", folder)


def test_split_without_samples(uneven):
    refused("no samples in split 'test'; those with samples: train, val", uneven, split="test")


def test_other_resolution(uneven):
    refused("made at 256 x 256 pixels, but 512 x 512 are expected; curate it anew", uneven, resolution=512)
    assert BatchStream(config(uneven, resolution=256)).resolution == (256, 256)


@pytest.mark.parametrize(("ranks", "micro"), [(3, 4), (1, 3), (4, 4)])
def test_indivisible_batch(uneven, ranks, micro):
    refused(
        f"a global batch of 8 cannot be divided among {ranks} ranks in micro-batches of {micro}",
        uneven,
        ranks=ranks,
        micro_batch=micro,
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("global_batch", 0),
        ("micro_batch", 0),
        ("num_workers", -1),
        ("prefetch_batches", 0),
        ("window_shards", 0),
        ("on_damage", "ignore"),
        ("verify", "never"),
    ],
)
def test_invalid_value_is_named(uneven, field, value):
    refused(f"{field} is {value!r}", uneven, **{field: value})


def test_full_verification_reads_every_byte(dataset, tmp_path):
    BatchStream(config(dataset, verify="full"))
    folder = copy(dataset, tmp_path / "spoilt")
    path = folder / "train" / "00000.tar"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    BatchStream(config(folder))
    refused("its SHA-256 or size is not the manifest", folder, verify="full")
