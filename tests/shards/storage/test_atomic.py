"""A file is whole or not there."""

import os
from pathlib import Path

import pytest

from shards.storage.atomic import remove_folder, remove_temporary_files, write_atomically, write_folder_atomically


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


# ---- Folders


def write_folder(path: Path, text: str, error: type[BaseException] | None = None) -> None:
    with write_folder_atomically(path) as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "file").write_text(text)
        if error is not None:
            raise error


def test_a_folder_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "folder"
    with write_folder_atomically(path) as temporary:
        (temporary / "file").write_text("whole")
        assert not path.exists()
    assert (path / "file").read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_new_folder_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for text in ("old", "new"):
        write_folder(path, text)
    assert (path / "inner" / "file").read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_old_folder_stays_when_the_block_raises(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "folder"
    write_folder(path, "old")
    with pytest.raises(error):
        write_folder(path, "new", error)
    assert (path / "inner" / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_a_killed_process_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for name in ("folder", "folder.replaced", ".folder.removed.tmp", ".folder.replaced.removed.tmp"):
        write_folder(tmp_path / name, "left over")
    write_folder(path, "new")
    remove_folder(path)
    assert [name.name for name in tmp_path.iterdir()] == []


def test_removing_a_missing_folder_does_nothing(tmp_path: Path) -> None:
    remove_folder(tmp_path / "folder")


def test_temporary_files_of_killed_processes_are_removed_by_name(tmp_path):
    left, other = tmp_path / ".00001.arrow.host-12-34.tmp", tmp_path / ".notes.arrow.host-12-34.tmp"
    for path in (left, other, tmp_path / "00001.arrow"):
        path.touch()
    remove_temporary_files(tmp_path, r"\d{5}\.arrow")
    assert sorted(tmp_path.iterdir()) == [other, tmp_path / "00001.arrow"]
