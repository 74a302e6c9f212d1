"""One shard -> its samples, in order."""

import itertools
import tarfile
from collections.abc import Iterator
from pathlib import Path

from shards.errors import DatasetError
from shards.members import SampleMembers, walk_samples
from shards.schema import Sample, SampleRecord
from shards.storage.location import ReadableLocation, on_disk

_HEAD_BYTES = 2**19
"""Bytes that each read of a shard's head takes: one request in an object store."""


def read_shard(path: ReadableLocation, copy: Path | None = None) -> Iterator[Sample]:
    """Yield the samples of a shard, pictures still encoded.

    `copy` is a local file with the same bytes, if there is one already. Raises DatasetError, which names the shard and
    the member, where the tar is damaged or its members are not three adjacent ones a sample, in the contract's order.
    """
    try:
        with on_disk(copy or path) as local, local.open("rb") as file:
            for members in walk_samples(file):
                yield read_sample(members)
    except (tarfile.TarError, OSError) as error:
        raise DatasetError(f"{path}: {error}") from error


def read_head(path: ReadableLocation, num_samples: int) -> Iterator[Sample]:
    """Yield the first samples of a shard and read little more than these. Raises DatasetError like `read_shard`."""
    try:
        with path.open("rb", buffering=_HEAD_BYTES) as file:
            for members in itertools.islice(walk_samples(file), num_samples):
                yield read_sample(members)
    except (tarfile.TarError, OSError) as error:
        raise DatasetError(f"{path}: {error}") from error


def read_sample(members: SampleMembers) -> Sample:
    """Read the members of a sample. Raises tarfile.ReadError for a record that is not valid or not of this sample."""
    try:
        record = SampleRecord.from_json(members.record.read())
    except ValueError as error:
        raise tarfile.ReadError(f"{members.record.name} is not a sample's record: {error}") from error
    if record.key != members.key:
        raise tarfile.ReadError(f"the record of {members.key} has the key {record.key}")
    return Sample(
        record=record,
        source=members.source.read(),
        target=members.target.read(),
        image_format=members.image_format,
    )
