"""A shard -> where its samples' members lie, so that any sample is one read away.

The index of a shard is made in one pass over the headers of its tar and kept in a small file, named by the shard's
hash in the manifest. A reader holds every sample against its headers, so an index that does not fit is found out.
"""

import contextlib
import dataclasses
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from shards.atomic import write_atomically
from shards.manifest import ShardEntry
from training.data.byte_source import ByteSource
from training.data.shard_cache import ShardFiles, not_the_manifests

BLOCK = tarfile.BLOCKSIZE
_ROLES = ("json", "source", "target")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardIndex:
    """The samples of a shard that can be reached."""

    extents: NDArray[np.unsignedinteger]
    """[samples, 6]: offset and size, in bytes, of the JSON, the source and the target."""
    problem: str | None = None
    """Why there are fewer than the manifest tells."""


def load_index(files: ShardFiles, entry: ShardEntry, shard: ByteSource, folder: Path | None) -> ShardIndex:
    """Read a shard's index from `folder`, or make it and keep it there.

    Of several processes that want the same one, one makes it. Where `folder` cannot be written, nothing is kept.
    Raises StorageError, or DamageError where a remote shard's bytes are not the manifest's.
    """
    if folder is None:
        return make_index(files, entry, shard)
    path = folder / f"{entry.sha256}.npy"
    if index := _read_index(path, entry):
        return index
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(path.with_suffix(".lock")))
            if index := _read_index(path, entry):
                return index
        index = make_index(files, entry, shard)
        if index.problem is None:
            with contextlib.suppress(OSError), write_atomically(path) as temporary, temporary.open("wb") as file:
                np.save(file, index.extents)
    return index


def forget_index(entry: ShardEntry, folder: Path | None) -> None:
    """Remove a kept index that does not fit its shard."""
    if folder is not None:
        with contextlib.suppress(OSError):
            (folder / f"{entry.sha256}.npy").unlink()


def make_index(files: ShardFiles, entry: ShardEntry, shard: ByteSource) -> ShardIndex:
    """Pass over a shard's headers; over all its bytes, and hold them against the manifest, where it is remote."""
    if files.are_local:
        return _scan(_Seekable(shard), "r:", entry)
    stream = files.stream(entry)
    index = _scan(stream, "r|", entry)
    if stream.read_to_end() != entry.sha256:
        raise not_the_manifests(files.path_of(entry), entry)
    return index


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


class _Seekable:
    """A byte source as tarfile reads files."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._at = 0

    def read(self, num_bytes: int) -> bytes:
        data = self._source.read_at(self._at, num_bytes)
        self._at += len(data)
        return data

    def seek(self, offset: int) -> None:
        self._at = offset

    def tell(self) -> int:
        return self._at


def _scan(file: Any, mode: str, entry: ShardEntry) -> ShardIndex:
    """Find the samples, up to the first thing that the contract does not allow."""
    # Offsets below 4 GiB take half the room, and every worker holds the offsets of all samples.
    extents = np.zeros((entry.num_samples, 6), dtype=np.min_scalar_type(max(entry.num_bytes, 2**31)))
    number, at_byte = 0, 0
    try:
        with tarfile.open(fileobj=file, mode=mode) as tar:  # type: ignore[call-overload] # The mode is one of two.
            for number in range(entry.num_samples):
                at_byte = tar.offset
                members = [tar.next() for _ in _ROLES]
                if not _is_sample(members):
                    break
                extents[number] = [value for member in members for value in (member.offset_data, member.size)]
            else:
                return ShardIndex(extents=extents)
    except (tarfile.TarError, ValueError) as error:
        return _cut(extents, number, entry, f"{error} at byte {at_byte:,}")
    return _cut(extents, number, entry, f"no whole sample at byte {at_byte:,}")


def _cut(extents: NDArray[np.unsignedinteger], num_found: int, entry: ShardEntry, reason: str) -> ShardIndex:
    problem = f"{num_found:,} of {entry.num_samples:,} samples can be reached: {reason}"
    return ShardIndex(extents=extents[:num_found], problem=problem)


def _is_sample(members: list[tarfile.TarInfo | None]) -> bool:
    names = [member.name.split(".") for member in members if member is not None and member.isfile()]
    return (
        len(names) == len(_ROLES)
        and tuple(name[1] for name in names if len(name) > 1) == _ROLES
        and len({name[0] for name in names}) == 1
    )
