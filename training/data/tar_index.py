"""A shard -> the offsets of its samples, so that any sample is one read.

The index of a shard is made in one pass over the headers of its tar and kept in a small file named by the shard's
SHA-256. A reader checks every sample against its headers, so a wrong index is noticed.
"""

import contextlib
import dataclasses
import itertools
import tarfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from shards.manifest import ShardEntry
from shards.members import walk_samples
from shards.storage.atomic import write_atomically
from training.data.errors import raise_data_errors
from training.data.shard_cache import ShardFiles


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardIndex:
    """Offsets of the samples of a shard, up to the first damage."""

    extents: NDArray[np.unsignedinteger]
    """[samples, 6]: offset and size, in bytes, of the JSON, the source and the target."""
    problem: str | None = None
    """Why there are fewer than in the manifest."""


def load_index(files: ShardFiles, entry: ShardEntry, folder: Path) -> ShardIndex:
    """Read a shard's index from `folder`, or make it and keep it there.

    Only one of several processes makes it. Where `folder` cannot be written to, nothing is kept. A remote shard that is
    not cached is downloaded whole. Raises DataError, or DamageError where a downloaded shard is not the manifest's.
    """
    path = _index_path(entry, folder)
    if index := _read_index(path, entry):
        return index
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(path.with_suffix(".lock")))
            if index := _read_index(path, entry):
                return index
        with files.on_disk(entry) as shard, raise_data_errors(shard), shard.open("rb") as file:
            index = make_index(file, entry)
        if index.problem is None:
            with contextlib.suppress(OSError), write_atomically(path) as temporary, temporary.open("wb") as file:
                np.save(file, index.extents)
    return index


def forget_index(entry: ShardEntry, folder: Path) -> None:
    """Remove an index that does not fit its shard."""
    with contextlib.suppress(OSError):
        _index_path(entry, folder).unlink()


def make_index(file: BinaryIO, entry: ShardEntry) -> ShardIndex:
    """Return the offsets of a shard's samples, up to the first damage."""
    # Offsets below 4 GiB take half the memory, and every worker holds the offsets of all samples.
    extents = np.zeros((entry.num_samples, 6), dtype=np.min_scalar_type(max(entry.num_bytes, 2**31)))
    num_found, reason = 0, "the tar ends there"
    try:
        for sample in itertools.islice(walk_samples(file), entry.num_samples):
            members = (sample.record, sample.source, sample.target)
            extents[num_found] = [value for member in members for value in (member.offset, member.size)]
            num_found += 1
    except (tarfile.TarError, ValueError) as error:
        reason = str(error)
    if num_found == entry.num_samples:
        return ShardIndex(extents=extents)
    problem = f"{num_found:,} of {entry.num_samples:,} samples can be reached: {reason}"
    return ShardIndex(extents=extents[:num_found], problem=problem)


def _read_index(path: Path, entry: ShardEntry) -> ShardIndex | None:
    """Read an index; None where there is none or it cannot be this shard's."""
    try:
        extents = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if extents.shape != (entry.num_samples, 6) or extents.dtype.kind != "u":
        return None
    ends = extents[:, ::2].astype(np.uint64) + extents[:, 1::2]
    # As many as there are, in the tar's order: each row is its sample's, or it points at no header.
    in_order = (extents[1:, 0] >= ends[:-1, 2]).all() and (extents[:, 2::2] >= ends[:, :2]).all()
    return ShardIndex(extents=extents) if in_order and (ends <= entry.num_bytes).all() else None


def _index_path(entry: ShardEntry, folder: Path) -> Path:
    return folder / f"{entry.sha256}.npy"
