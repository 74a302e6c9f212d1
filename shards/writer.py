"""Samples -> one shard: a plain POSIX tar whose bytes are a function of the samples alone."""

import hashlib
from collections.abc import Iterable

from shards.atomic import write_atomically
from shards.location import Location, ObjectPath
from shards.manifest import ShardEntry
from shards.schema import Sample

_BUFFER_BYTES = 2**20
"""A tar is written in blocks of 10 KiB, each a call of the system's if nothing gathers them: a fifth of the time."""


def shard_name(number: int) -> str:
    """File name of a split's shard, numbered from 0 without a gap."""
    return f"{number:05d}.tar"


def write_shard(path: Location, samples: Iterable[Sample]) -> ShardEntry:
    """Write `samples` to `path`, members of a sample adjacent and in the contract's order.

    Owner, mode and modification time are fixed. The file appears under its name only when it is whole.
    Returns its line of the manifest.
    """
    # Imported here, as it brings torch along where that is installed, and most who import this module write no shard.
    from webdataset.writer import TarWriter

    num_samples = 0
    with write_atomically(path) as temporary:
        with (
            temporary.open("wb", buffering=_BUFFER_BYTES) as stream,
            TarWriter(stream, user="root", group="root", mode=0o644, mtime=0, encoder=False) as tar,
        ):
            for sample in samples:
                tar.write(
                    {
                        "__key__": sample.record.key,
                        "json": sample.record.to_json(),
                        f"source.{sample.image_format}": sample.source,
                        f"target.{sample.image_format}": sample.target,
                    }
                )
                num_samples += 1
        return ShardEntry(
            name=path.name,
            num_samples=num_samples,
            num_bytes=temporary.stat().st_size,
            sha256=file_sha256(temporary),
        )


def file_sha256(path: Location) -> str:
    """Hash a file's bytes, in hexadecimal."""
    if isinstance(path, ObjectPath):
        digest = hashlib.sha256()
        for chunk in path.chunks():
            digest.update(chunk)
        return digest.hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
