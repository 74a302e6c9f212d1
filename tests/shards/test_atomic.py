"""A file is whole or not there."""

import os
from pathlib import Path

import pytest

from shards.atomic import write_atomically


def test_the_file_appears_only_when_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "file"
    with write_atomically(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_was_there_stays_and_nothing_is_left_behind_where_the_block_raises(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write() -> None:
        with write_atomically(path) as temporary:
            temporary.write_text("half of the n")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), write_atomically(tmp_path / "file"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_temporary_name_is_no_shard_and_no_part(tmp_path: Path) -> None:
    with write_atomically(tmp_path / "00000.tar") as temporary:
        temporary.write_bytes(b"")
        assert list(tmp_path.glob("*.tar")) == []
        assert str(os.getpid()) in temporary.name
