"""One shard -> its samples, in order."""

import tarfile
from collections.abc import Iterator
from pathlib import Path

from shards.errors import DatasetError
from shards.location import Location, on_disk
from shards.schema import IMAGE_MIME, Sample, SampleRecord

_HEAD_BYTES = 2**19
"""Read at a time where a shard is not read to its end: a request each, where it lies in a store."""


def read_shard(path: Location, copy: Path | None = None) -> Iterator[Sample]:
    """Yield the samples of a shard, pictures still encoded; `copy` holds its bytes on disk, where they are already.

    Raises DatasetError, naming the shard and the member, where the tar is damaged or its members are not three
    adjacent ones a sample, in the contract's order.
    """
    try:
        with on_disk(copy or path) as file, tarfile.open(file, "r:") as tar:
            while member := tar.next():
                yield _read_sample(path, tar, member)
            _refuse_early_end(path, file, tar)
    except (tarfile.TarError, OSError) as error:
        raise DatasetError(f"{path}: cannot be read as a tar: {error}") from error


def read_head(path: Location, num_samples: int) -> Iterator[Sample]:
    """Yield the first samples of a shard, reading little more of it than these. Raises DatasetError as `read_shard`."""
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r|", bufsize=_HEAD_BYTES) as tar:
            for _ in range(num_samples):
                member = tar.next()
                if member is None:
                    return
                yield _read_sample(path, tar, member)
    except (tarfile.TarError, OSError) as error:
        raise DatasetError(f"{path}: cannot be read as a tar: {error}") from error


def _read_sample(path: Location, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Sample:
    key, extension = _split_name(path, member)
    if extension != "json":
        raise DatasetError(f"{path}: {member.name} stands where the .json of a sample was expected")
    try:
        record = SampleRecord.from_json(_read_member(path, tar, member))
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: {member.name} is not a sample's record: {error!r}") from error
    pictures, first_format = [], ""
    for role in ("source", "target"):
        picture = tar.next()
        if picture is None:
            raise DatasetError(f"{path}: ends before the {role} picture of {key}")
        picture_key, extension = _split_name(path, picture)
        found_role, _, image_format = extension.partition(".")
        first_format = image_format if role == "source" else first_format
        if (picture_key, found_role) != (key, role) or image_format not in {first_format} & IMAGE_MIME.keys():
            raise DatasetError(f"{path}: {picture.name} stands where the {role} picture of {key} was expected")
        pictures.append(_read_member(path, tar, picture))
    if record.key != key:
        raise DatasetError(f"{path}: the record of {key} speaks of {record.key}")
    return Sample(record=record, source=pictures[0], target=pictures[1], image_format=image_format)


def _refuse_early_end(path: Location, copy: Path, tar: tarfile.TarFile) -> None:
    """Raise where the tar does not end with its two blocks of zeros: tarfile takes a broken header for the end."""
    with copy.open("rb") as file:
        file.seek(tar.offset)
        if file.read(2 * tarfile.BLOCKSIZE) != bytes(2 * tarfile.BLOCKSIZE):
            raise DatasetError(f"{path}: is cut short, or has a broken header, at byte {tar.offset:,}")


def _split_name(path: Location, member: tarfile.TarInfo) -> tuple[str, str]:
    key, dot, extension = member.name.partition(".")
    if not dot or not member.isfile():
        raise DatasetError(f"{path}: {member.name!r} is not a member of a sample")
    return key, extension


def _read_member(path: Location, tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    data = file.read() if file else b""
    if len(data) != member.size:
        raise DatasetError(f"{path}: {member.name} is cut short")
    return data
