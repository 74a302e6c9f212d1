"""Shards are read as they were written; errors name the shard and the member."""

import io
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from shards.errors import DatasetError
from shards.reader import read_head, read_shard
from shards.schema import Sample
from shards.storage.location import ObjectPath
from shards.writer import write_shard
from tests.shards.helpers import make_sample
from tests.strategies import shard_samples

KEY = "clip-0_0000_0001"
JSON = make_sample(1).record.to_json()


def write_members(path: Path, *members: tuple[str, bytes]) -> None:
    """Write a tar of any members."""
    with tarfile.open(path, "w:") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@settings(max_examples=50)
@given(shard_samples())
def test_samples_are_read_as_written(tmp_path_factory: pytest.TempPathFactory, samples: list[Sample]) -> None:
    path = tmp_path_factory.mktemp("round") / "00000.tar"
    write_shard(path, samples)
    assert list(read_shard(path)) == samples


OUT_OF_ORDER: dict[str, tuple[str, list[tuple[str, bytes]]]] = {
    "json second": ("source.jpg", [("source.jpg", b""), ("json", JSON), ("target.jpg", b"")]),
    "swapped": ("target.jpg", [("json", JSON), ("target.jpg", b""), ("source.jpg", b"")]),
    "no target": ("", [("json", JSON), ("source.jpg", b"")]),
    "no pictures": ("", [("json", JSON)]),
    "not a picture": ("source.gif", [("json", JSON), ("source.gif", b""), ("target.gif", b"")]),
    "two formats": ("target.png", [("json", JSON), ("source.jpg", b""), ("target.png", b"")]),
    "json torn": ("json", [("json", b"{"), ("source.jpg", b""), ("target.jpg", b"")]),
    "json a list": ("json", [("json", b"[]"), ("source.jpg", b""), ("target.jpg", b"")]),
    "json empty": ("json", [("json", b"{}"), ("source.jpg", b""), ("target.jpg", b"")]),
    "json not UTF-8": ("json", [("json", b"\xff"), ("source.jpg", b""), ("target.jpg", b"")]),
    "a foreign member": ("cls", [("cls", b"1"), ("json", JSON), ("source.jpg", b""), ("target.jpg", b"")]),
}


@pytest.mark.parametrize(("blamed", "members"), OUT_OF_ORDER.values(), ids=OUT_OF_ORDER.keys())
def test_misplaced_member_is_named(tmp_path: Path, blamed: str, members: list[tuple[str, bytes]]) -> None:
    path = tmp_path / "00003.tar"
    write_members(path, *((f"{KEY}.{end}", data) for end, data in members))
    with pytest.raises(DatasetError, match=f"{re.escape(str(path))}.*{re.escape(f'{KEY}.{blamed}'.rstrip('.'))}"):
        list(read_shard(path))


def test_record_with_another_key_is_refused(tmp_path: Path) -> None:
    write_members(tmp_path / "s.tar", ("x_0.json", JSON), ("x_0.source.jpg", b""), ("x_0.target.jpg", b""))
    with pytest.raises(DatasetError, match=rf"s\.tar: the record of x_0 has the key {KEY}"):
        list(read_shard(tmp_path / "s.tar"))


def test_member_that_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w:") as tar:
        folder = tarfile.TarInfo(f"{KEY}.json")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    with pytest.raises(DatasetError, match=rf"s\.tar.*{KEY}\.json"):
        list(read_shard(tmp_path / "s.tar"))


@pytest.mark.parametrize("data", [b"", b"no tar", b"\x1f\x8b" + bytes(600)], ids=["empty", "text", "gzip"])
def test_file_that_is_no_tar_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "s.tar").write_bytes(data)
    with pytest.raises(DatasetError, match=r"s\.tar"):
        list(read_shard(tmp_path / "s.tar"))


def test_missing_shard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"s\.tar"):
        list(read_shard(tmp_path / "s.tar"))


# Two samples of three members, each a header and a block of 512 bytes: 6144 bytes, then the end of the tar.
@pytest.mark.parametrize("num_bytes", [300, 600, 1024, 2600, 3072, 3400, 3700, 6100, 6144])
def test_truncated_shard_is_refused(tmp_path: Path, num_bytes: int) -> None:
    path = tmp_path / "s.tar"
    write_shard(path, [make_sample(1), make_sample(2)])
    path.write_bytes(path.read_bytes()[:num_bytes])
    with pytest.raises(DatasetError, match=r"s\.tar"):
        list(read_shard(path))


@pytest.mark.parametrize("member", range(6))
def test_flipped_bit_in_a_header_is_noticed(tmp_path: Path, member: int) -> None:
    path = tmp_path / "s.tar"
    write_shard(path, [make_sample(1), make_sample(2)])
    data = bytearray(path.read_bytes())
    data[member * 1024 + 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"s\.tar"):
        list(read_shard(path))


def test_read_head_reads_the_first_samples_only(tmp_path: Path) -> None:
    samples = [make_sample(number) for number in range(1, 6)]
    write_shard(tmp_path / "s.tar", samples)
    assert list(read_head(tmp_path / "s.tar", 3)) == samples[:3]
    assert list(read_head(tmp_path / "s.tar", 9)) == samples
    (tmp_path / "s.tar").write_bytes((tmp_path / "s.tar").read_bytes()[: 3 * 3072 + 100])
    assert list(read_head(tmp_path / "s.tar", 3)) == samples[:3]
    with pytest.raises(DatasetError, match=r"s\.tar"):
        list(read_head(tmp_path / "s.tar", 4))
    with pytest.raises(DatasetError, match=r"none\.tar"):
        list(read_head(tmp_path / "none.tar", 1))


def test_read_head_reads_a_shard_in_a_bucket(s3: Any, tmp_path: Path) -> None:
    samples = [make_sample(number) for number in range(1, 6)]
    write_shard(tmp_path / "s.tar", samples)
    path = ObjectPath("s3://bucket/train/s.tar")
    path.upload(tmp_path / "s.tar")
    assert list(read_head(path, 3)) == samples[:3]
    with pytest.raises(DatasetError, match="s3://bucket/train/none"):
        list(read_head(ObjectPath("s3://bucket/train/none.tar"), 1))
