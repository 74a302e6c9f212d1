"""Shards are POSIX tars whose bytes depend on the samples alone."""

import hashlib
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings

from shards.schema import Sample
from shards.writer import file_sha256, shard_name, write_shard
from tests.shards.helpers import make_sample
from tests.strategies import shard_samples


@pytest.mark.parametrize("image_format", ["jpg", "png", "webp"])
def test_members_are_adjacent_and_ordered(tmp_path: Path, image_format: str) -> None:
    write_shard(tmp_path / "s.tar", [make_sample(2, image_format), make_sample(1, image_format)])
    with tarfile.open(tmp_path / "s.tar", "r:") as tar:
        assert tar.getnames() == [
            f"clip-0_0000_000{number}.{end}"
            for number in (2, 1)
            for end in ("json", f"source.{image_format}", f"target.{image_format}")
        ]


def test_owner_mode_and_time_are_fixed_and_the_tar_is_posix(tmp_path: Path) -> None:
    write_shard(tmp_path / "s.tar", [make_sample(1)])
    with tarfile.open(tmp_path / "s.tar", "r:") as tar:
        for member in tar:
            header = (member.mtime, member.uid, member.gid, member.uname, member.gname, member.mode, member.type)
            assert header == (0, 0, 0, "root", "root", 0o644, tarfile.REGTYPE)
    assert (tmp_path / "s.tar").read_bytes()[257:263] == b"ustar\0"


@settings(max_examples=30)
@given(shard_samples())
def test_equal_samples_give_equal_bytes(tmp_path_factory: pytest.TempPathFactory, samples: list[Sample]) -> None:
    folder = tmp_path_factory.mktemp("twice")
    entries = [write_shard(folder / name / "00000.tar", samples) for name in ("a", "b")]
    assert (folder / "a/00000.tar").read_bytes() == (folder / "b/00000.tar").read_bytes()
    assert entries[0] == entries[1]


def test_bytes_do_not_depend_on_clock_and_umask(tmp_path: Path) -> None:
    first = write_shard(tmp_path / "a.tar", [make_sample(1)])
    mask = os.umask(0o077)
    time.sleep(1.1)  # Times in a tar are whole seconds.
    try:
        second = write_shard(tmp_path / "b.tar", [make_sample(1)])
    finally:
        os.umask(mask)
    assert first.sha256 == second.sha256


def test_manifest_entry_describes_the_file(tmp_path: Path) -> None:
    entry = write_shard(tmp_path / "00007.tar", [make_sample(1), make_sample(2)])
    data = (tmp_path / "00007.tar").read_bytes()
    assert (entry.name, entry.num_samples, entry.num_bytes) == ("00007.tar", 2, len(data))
    assert entry.sha256 == hashlib.sha256(data).hexdigest() == file_sha256(tmp_path / "00007.tar")


def test_no_file_is_left_if_the_samples_raise(tmp_path: Path) -> None:
    def samples() -> Iterator[Sample]:
        yield make_sample(1)
        raise RuntimeError("the second one is missing")

    with pytest.raises(RuntimeError, match="missing"):
        write_shard(tmp_path / "s.tar", samples())
    assert list(tmp_path.iterdir()) == []


def test_shard_names_have_five_digits() -> None:
    assert [shard_name(0), shard_name(123456)] == ["00000.tar", "123456.tar"]
