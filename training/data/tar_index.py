"""A shard -> where its samples' members lie, so that any sample is one read away.

The index of a shard is made in one pass over the headers of its tar and kept in a small file, named by the shard's
hash in the manifest. A reader holds every sample against its headers, so an index that does not fit is found out.
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

from shards.atomic import write_atomically
from shards.manifest import ShardEntry
from shards.members import walk_samples
from training.data.shard_cache import ShardFiles


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardIndex:
    """The samples of a shard that can be reached."""

    extents: NDArray[np.unsignedinteger]
    """[samples, 6]: offset and size, in bytes, of the JSON, the source and the target."""
    problem: str | None = None
    """Why there are fewer than the manifest tells."""


def load_index(files: ShardFiles, entry: ShardEntry, folder: Path | None) -> ShardIndex:
    """Read a shard's index from `folder`, or make it and keep it there.

    Of several processes that want the same one, one makes it. Where `folder` cannot be written, nothing is kept.
    Raises StorageError, or DamageError where a remote shard's bytes are not the manifest's.
    """
    if folder is None:
        return make_index(files, entry)
    path = folder / f"{entry.sha256}.npy"
    if index := _read_index(path, entry):
        return index
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(path.with_suffix(".lock")))
            if index := _read_index(path, entry):
                return index
        index = make_index(files, entry)
        if index.problem is None:
            with contextlib.suppress(OSError), write_atomically(path) as temporary, temporary.open("wb") as file:
                np.save(file, index.extents)
    return index


def forget_index(entry: ShardEntry, folder: Path | None) -> None:
    """Remove a kept index that does not fit its shard."""
    if folder is not None:
        with contextlib.suppress(OSError):
            (folder / f"{entry.sha256}.npy").unlink()


def make_index(files: ShardFiles, entry: ShardEntry) -> ShardIndex:
    """Read the headers of a shard; a remote one is downloaded whole and its SHA-256 checked."""
    with files.on_disk(entry) as path, path.open("rb") as file:
        return _scan(file, entry)


def _read_index(path: Path, entry: ShardEntry) -> ShardIndex | None:
    """Read a kept index; None where there is none or it cannot be this shard's."""
    try:
        extents = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if extents.shape != (entry.num_samples, 6) or extents.dtype.kind != "u":
        return None
    ends = extents[:, ::2].astype(np.uint64) + extents[:, 1::2]
    # In the tar's order, and as many as there are: each row is its sample's, or no header stands where it points.
    in_order = (extents[1:, 0] >= ends[:-1, 2]).all() and (extents[:, 2::2] >= ends[:, :2]).all()
    return ShardIndex(extents=extents) if in_order and (ends <= entry.num_bytes).all() else None


def _scan(file: BinaryIO, entry: ShardEntry) -> ShardIndex:
    """Find the samples, up to the first thing that the contract does not allow."""
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
