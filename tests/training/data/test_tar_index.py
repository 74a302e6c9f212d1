"""The index has the offsets of the tar, is kept and shared between processes, and is checked against the shard."""

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shards.manifest import read_manifest
from tests.training.data.helpers import are_same, batches, cut
from training.data import tar_index
from training.data.shard_cache import ShardFiles
from training.data.tar_index import load_index


@pytest.fixture
def shard(uneven):
    """The ShardFiles, manifest entry and path of the fourth shard."""
    entry = read_manifest(uneven).splits["train"].shards[3]
    return ShardFiles(location=uneven, split="train"), entry, uneven / "train" / entry.name


def test_index_has_the_offsets_of_tarfile_and_is_kept(shard, tmp_path):
    files, entry, path = shard
    with tarfile.open(path) as tar:
        expected = np.array([(member.offset_data, member.size) for member in tar]).reshape(-1, 6)
    made = load_index(files, entry, tmp_path)
    without_shard = ShardFiles(location=tmp_path / "none", split="train")
    kept = load_index(without_shard, entry, tmp_path)
    assert made.problem is None
    assert np.array_equal(made.extents, expected)
    assert np.array_equal(kept.extents, expected)


@pytest.mark.parametrize("damage", ["cut", "too few", "beyond the end", "no array"])
def test_damaged_index_is_made_again(shard, tmp_path, damage):
    files, entry, _ = shard
    sound = load_index(files, entry, tmp_path).extents
    kept = tmp_path / f"{entry.sha256}.npy"
    if damage == "cut":
        kept.write_bytes(kept.read_bytes()[:-100])
    elif damage == "too few":
        np.save(kept, sound[:-1])
    elif damage == "beyond the end":
        np.save(kept, sound + np.uint32(entry.num_bytes))
    else:
        kept.write_text("{}")
    assert np.array_equal(load_index(files, entry, tmp_path).extents, sound)
    assert np.array_equal(np.load(kept), sound)


@pytest.mark.parametrize("shift", ["rows", "bytes"])
def test_wrong_offsets_are_noticed(uneven, tmp_path, shift):
    cache = tmp_path / "cache"
    expected = batches(uneven, 14, cache=cache)
    for kept in (cache / "index").glob("*.npy"):
        extents = np.load(kept)
        # Offsets of another sample, or shifted by some bytes.
        np.save(kept, extents + np.uint32([8, 0] * 3) if shift == "bytes" else extents[:1].repeat(len(extents), axis=0))
    found = batches(uneven, 14, cache=cache)
    assert are_same(expected, found)


def test_rewritten_shard_gets_a_new_index(dataset, uneven, tmp_path):
    cache = tmp_path / "cache"
    batches(uneven, 14, cache=cache)
    other = cut(dataset, tmp_path / "other", (30, 1, 17, 42, 20))
    expected = batches(other, 14)
    found = batches(other, 14, cache=cache)
    assert are_same(expected, found)


def test_nothing_is_written_to_the_data_set_or_an_unwritable_user_cache(uneven, tmp_path, monkeypatch):
    blocked = tmp_path / "a file"
    blocked.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    before = sorted((path, path.stat().st_mtime_ns) for path in uneven.rglob("*"))
    assert len(batches(uneven, 3, num_workers=1)) == 6
    assert sorted((path, path.stat().st_mtime_ns) for path in uneven.rglob("*")) == before


def count_made(uneven: Path, cache: Path, made: Any) -> None:
    """Read all batches; send how many indices that made."""
    num_made, make = [], tar_index.make_index
    tar_index.make_index = lambda *args: (num_made.append(1), make(*args))[1]  # In a process of its own.
    batches(uneven, 14, cache=cache)
    made.put(len(num_made))


def test_concurrent_processes_make_each_index_once(uneven, tmp_path, forks):
    made = forks.Queue()
    processes = [forks.Process(target=count_made, args=(uneven, tmp_path, made)) for _ in range(2)]
    for process in processes:
        process.start()
    counts = [made.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert sum(counts) == 5
    assert len(list((tmp_path / "index").glob("*.npy"))) == 5
