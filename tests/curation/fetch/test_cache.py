"""The cache finds files by URL, checks their hashes, and removes damaged and old ones."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from curation.fetch.cache import Cache


def add(cache: Cache, folder: Path, url: str, data: bytes) -> Path:
    """Add bytes as if they had been fetched."""
    download = folder / "download"
    download.write_bytes(data)
    location = cache.add(url, download, hashlib.sha256(data).hexdigest())
    assert not download.exists()
    return Path(location)


def open_in(folder: Path) -> Cache:
    return Cache(folder / "cache")


def test_another_run_finds_added_files(tmp_path: Path) -> None:
    path = add(open_in(tmp_path), tmp_path, "http://a/1.gif", b"GIF89a 1")
    assert path.read_bytes() == b"GIF89a 1"
    assert path.name == hashlib.sha256(b"GIF89a 1").hexdigest()
    assert open_in(tmp_path).find("http://a/1.gif") == str(path)
    assert open_in(tmp_path).find("http://a/2.gif") is None


def test_equal_bytes_of_two_urls_are_stored_once(tmp_path: Path) -> None:
    cache = open_in(tmp_path)
    paths = {add(cache, tmp_path, f"http://{host}/1.gif", b"GIF89a 1") for host in "ab"}
    assert len(paths) == 1


@pytest.mark.parametrize("damage", [b"GIF89a 2", b"GIF", b""], ids=["flipped", "cut", "empty"])
def test_damaged_file_is_removed_and_can_be_added_again(tmp_path: Path, damage: bytes) -> None:
    path = add(open_in(tmp_path), tmp_path, "http://a/1.gif", b"GIF89a 1")
    path.write_bytes(damage)
    assert open_in(tmp_path).find("http://a/1.gif") is None
    assert not path.exists()
    add(open_in(tmp_path), tmp_path, "http://a/1.gif", b"GIF89a 1")
    assert open_in(tmp_path).find("http://a/1.gif") == str(path)


@pytest.mark.parametrize(
    "entry",
    ["", "{", "[]", "null", "{}", '{"sha256": 3}', json.dumps({"sha256": "../" * 21 + "x"}), '{"sha256": "ab"}'],
)
def test_invalid_entry_finds_nothing(tmp_path: Path, entry: str) -> None:
    add(open_in(tmp_path), tmp_path, "http://a/1.gif", b"GIF89a 1")
    (path,) = (tmp_path / "cache" / "urls").rglob("*.json")
    path.write_text(entry)
    assert open_in(tmp_path).find("http://a/1.gif") is None


def test_trim_removes_least_recently_used_files_but_none_of_this_run(tmp_path: Path) -> None:
    earlier = open_in(tmp_path)
    paths = [add(earlier, tmp_path, f"http://a/{n}.gif", bytes([n]) * 100) for n in range(5)]
    for age, path in enumerate(paths):
        os.utime(path, (1000 - age, 1000 - age))
    now = open_in(tmp_path)
    assert now.find("http://a/4.gif")
    now.trim(250)
    assert [path.exists() for path in paths] == [True, False, False, False, True]
    assert len(list((tmp_path / "cache" / "urls").rglob("*.json"))) == 2
    now.trim(0)
    assert [path.exists() for path in paths] == [False, False, False, False, True]
    open_in(tmp_path).trim(0)
    assert not any(path.exists() for path in paths)


def test_trim_removes_no_files_of_others(tmp_path: Path) -> None:
    root, elsewhere, digest = tmp_path / "cache", tmp_path / "elsewhere", "ab" + "0" * 62
    ours = add(open_in(tmp_path), tmp_path, "http://a/1.gif", b"GIF89a 1")
    names = ["objects/notes.txt", "objects/ab/notes.txt", f"objects/{digest}", f"objects/cd/{digest}",
             f"objects/ab/{digest[:38]}", f"objects/ab/{digest}.gif", f"objects/ab/ab/{digest}", "urls/notes.json",
             "urls/ab/notes.json", f"urls/ab/{digest}.json"]  # fmt: skip
    others = [root / name for name in names] + [elsewhere / digest]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("not the cache's")
    (root / "objects" / "ab" / f"ab{'1' * 62}").symlink_to(elsewhere / digest)
    (root / "objects" / "ac").symlink_to(elsewhere)
    open_in(tmp_path).trim(0)
    assert not ours.exists()
    assert all(path.exists() for path in others)
    assert (root / "objects" / "ab" / f"ab{'1' * 62}").is_symlink()


def test_trim_keeps_a_cache_within_its_limit(tmp_path: Path) -> None:
    path = add(open_in(tmp_path), tmp_path, "http://a/1.gif", b"GIF89a 1")
    open_in(tmp_path).trim(8)
    assert path.exists()


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another disk than `tmp_path`."""
    memory = Path("/dev/shm")  # noqa: S108 # A folder below it is made.
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second disk here")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def test_cache_on_another_disk_accepts_equal_files_from_many_threads(tmp_path: Path, other_disk: Path) -> None:
    cache = open_in(other_disk)
    data = b"GIF89a" * 100_000

    def add_one(number: int) -> Path:
        (tmp_path / str(number)).mkdir()
        return add(cache, tmp_path / str(number), f"http://a/{number}.gif", data)

    with ThreadPoolExecutor(8) as threads:
        (path,) = set(threads.map(add_one, range(40)))
    assert path.read_bytes() == data
    assert len([kept for kept in other_disk.rglob("*") if kept.is_file()]) == 41
