"""The walk over a tar's members: names, offsets, bytes, and what it refuses."""

import io
import tarfile
from pathlib import Path

import pytest

from shards.members import walk_members, walk_samples
from shards.writer import write_shard
from tests.shards.helpers import make_sample


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """A shard of two samples."""
    write_shard(tmp_path / "s.tar", [make_sample(1), make_sample(2)])
    return tmp_path / "s.tar"


def test_members_have_the_names_offsets_and_bytes_of_tarfile(shard: Path) -> None:
    data = shard.read_bytes()
    with tarfile.open(shard) as tar:
        expected = [(info.name, info.offset_data, info.size) for info in tar]
    with shard.open("rb") as file:
        members = list(walk_members(file))
        assert [(member.name, member.offset, member.size) for member in members] == expected
    for member in members:
        assert data[member.offset : member.offset + member.size]


def test_samples_give_bytes_on_demand(shard: Path) -> None:
    with shard.open("rb") as file:
        for number, sample in enumerate(walk_samples(file), start=1):
            expected = make_sample(number)
            assert (sample.key, sample.image_format) == (f"clip-0_0000_000{number}", "jpg")
            assert sample.record.read() == expected.record.to_json()
            assert (sample.source.read(), sample.target.read()) == (expected.source, expected.target)
    assert number == 2


@pytest.mark.parametrize("offset", [1024, 3072])
def test_broken_header_is_not_taken_for_the_end(shard: Path, offset: int) -> None:
    data = bytearray(shard.read_bytes())
    data[offset : offset + 512] = bytes(512)
    with pytest.raises(tarfile.ReadError, match=f"has a broken header, at byte {offset:,}"):
        list(walk_members(io.BytesIO(bytes(data))))
