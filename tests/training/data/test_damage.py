"""A damaged sample raises an error that names it, or is replaced by the same other sample for all ranks."""

import dataclasses
import io
import logging
import tarfile

import pytest
from PIL import Image

from shards.manifest import read_manifest
from shards.reader import read_shard
from shards.writer import write_shard
from tests.training.data.helpers import are_same, batches, copy, keys, write_split
from training.data import DamageError, DataError


def find(path, number):
    with tarfile.open(path) as tar:
        return tar.getmembers()[number]


def overwrite(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


@pytest.fixture
def damaged(uneven, tmp_path):
    """The data set with a damaged target picture, the path of its shard, and the name of the member."""
    folder = copy(uneven, tmp_path / "damaged")
    path = folder / "train" / "00003.tar"
    member = find(path, 3 * 7 + 2)
    overwrite(path, member.offset_data, bytes(600))
    return folder, path, member.name


def test_damaged_member_is_named(damaged):
    folder, path, member = damaged
    with pytest.raises(DamageError) as caught:
        batches(folder, 14)
    assert str(caught.value) == f"{path}: {member} is not a whole JPEG picture"


@pytest.mark.parametrize("image_format", ["png", "jpg"])
def test_pictures_of_other_formats_are_not_opened(uneven, tmp_path, image_format):
    folder, data = copy(uneven, tmp_path / "foreign"), io.BytesIO()
    Image.new("RGB", (64, 64)).save(data, "EPS" if image_format == "png" else "BMP")
    entries = []
    for entry in read_manifest(folder).splits["train"].shards:
        path = folder / "train" / entry.name
        picture = data.getvalue() + b"\xff\xd9"
        samples = [
            dataclasses.replace(sample, source=picture, target=picture, image_format=image_format)
            for sample in read_shard(path)
        ]
        entries.append(write_shard(path, samples))
    write_split(folder, read_manifest(folder), shards=tuple(entries))
    with pytest.raises(DamageError, match=r"cannot be decoded|is not a whole JPEG"):
        batches(folder, 1)


def test_worker_gives_the_same_error(damaged):
    folder, path, member = damaged
    with pytest.raises(DamageError, match="is not a whole JPEG picture") as caught:
        batches(folder, 14, num_workers=1)
    assert str(caught.value).startswith(f"{path}: {member}")
    assert "\n" not in str(caught.value)


def test_damaged_sample_is_replaced_counted_and_logged_once(damaged, uneven, caplog):
    folder, path, member = damaged
    with caplog.at_level(logging.WARNING):
        found = batches(folder, 28, on_damage="skip", num_workers=2)
    sound = batches(uneven, 28)
    assert sum(batch.num_skipped for batch in found) == 2
    assert [record.message for record in caplog.records] == [
        f"{path}: {member} is not a whole JPEG picture; skipped, as will be further damage in this shard"
    ]
    lost = member.partition(".")[0]
    assert keys(sound).count(lost) == 2
    changed = [place for place, (a, b) in enumerate(zip(keys(sound), keys(found), strict=True)) if a != b]
    assert [keys(sound)[place] for place in changed] == [lost, lost]
    by_rank = [batches(folder, 28, on_damage="skip", rank=rank, ranks=2) for rank in range(2)]
    together = [batch for pair in zip(*by_rank, strict=True) for batch in pair]
    assert are_same(found, together)


@pytest.mark.parametrize("what", ["record", "header", "short"])
def test_damaged_record_header_and_truncation_are_named(uneven, tmp_path, what):
    folder = copy(uneven, tmp_path / "damaged")
    path = folder / "train" / "00001.tar"
    member = find(path, 3 * 10)
    if what == "record":
        overwrite(path, member.offset_data, b"[")
    elif what == "header":
        overwrite(path, member.offset_data - 512, bytes(512))
    else:
        num_bytes = path.stat().st_size
        with path.open("r+b") as file:
            file.truncate(member.offset_data)
            file.truncate(num_bytes)
    expected = {"record": r"is not a sample's record", "header": "10 of 30 samples can be reached"}
    with pytest.raises(DamageError, match=f"00001.tar: .*{expected.get(what, '')}"):
        batches(folder, 14)
    found = batches(folder, 1, on_damage="skip", global_batch=110, micro_batch=110)
    assert found[0].num_skipped >= (1 if what == "record" else 20)


def test_data_set_of_damaged_shards_raises(uneven, tmp_path):
    folder = copy(uneven, tmp_path / "damaged")
    for shard in read_manifest(folder).splits["train"].shards:
        path = folder / "train" / shard.name
        path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(DataError, match=r"00000.tar: 0 of 1 samples can be reached"):
        batches(folder, 1, on_damage="skip")


def test_picture_of_another_size_raises_even_if_damage_is_skipped(uneven, tmp_path):
    folder = copy(uneven, tmp_path / "sizes")
    manifest = read_manifest(folder)
    path = folder / "train" / "00002.tar"
    samples = list(read_shard(path))
    small = io.BytesIO()
    Image.new("RGB", (100, 90)).save(small, "JPEG")
    samples[4] = dataclasses.replace(samples[4], source=small.getvalue(), target=small.getvalue())
    entries = list(manifest.splits["train"].shards)
    entries[2] = write_shard(path, samples)
    write_split(folder, manifest, shards=tuple(entries))
    with pytest.raises(DataError, match=r"00002.tar: .*source.jpg is 100 x 90 pixels, not 256 x 256"):
        batches(folder, 14, on_damage="skip")
