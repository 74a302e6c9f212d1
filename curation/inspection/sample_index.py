"""Shards -> table of all samples: metadata, and the byte ranges of their pictures in the tar files.

Building the table reads the tar headers and JSON records of every shard, but no picture. The table is cached in the
user's cache directory under the hash of the manifest.
"""

import contextlib
import dataclasses
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.run.progress import Progress
from shards.errors import DatasetError
from shards.manifest import Manifest, ShardEntry
from shards.members import walk_samples
from shards.schema import IMAGE_MIME, MANIFEST, SampleRecord
from shards.storage.atomic import write_atomically
from shards.storage.location import Location, on_disk, user_cache_folder
from shards.writer import file_sha256

_MAX_THREADS = 16
_INDEX_SCHEMA = pa.schema(
    [
        pa.field("split", pa.dictionary(pa.int8(), pa.string())),
        pa.field("shard", pa.dictionary(pa.int32(), pa.string())),
        pa.field("clip_key", pa.string()),
        pa.field("caption", pa.string()),
        pa.field("source_index", pa.int32()),
        pa.field("target_index", pa.int32()),
        pa.field("gap_ms", pa.int64()),
        pa.field("motion_px", pa.float32()),
        pa.field("image_format", pa.dictionary(pa.int8(), pa.string())),
        pa.field("source_offset", pa.int64()),
        pa.field("source_size", pa.int32()),
        pa.field("target_offset", pa.int64()),
        pa.field("target_size", pa.int32()),
    ]
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Filters:
    """Conditions on samples; all must hold."""

    split: str = ""
    """Empty for all splits."""
    min_motion: float = 0.0
    max_motion: float = float("inf")
    text: str = ""
    """Words, separated by spaces. The caption or clip key must contain each, ignoring case."""


def load_index(out: Location, manifest: Manifest, progress: Progress) -> pa.Table:
    """Return the table of all samples, in the order of the shards, from the cache or else from the shards.

    Raises DatasetError if a shard is damaged, cannot be opened or does not match the manifest.
    """
    _check_shards(out, manifest)
    path = _cache_folder() / f"{file_sha256(out / MANIFEST)}.parquet"
    num_samples = sum(entry.num_samples for entry in manifest.splits.values())
    with contextlib.suppress(OSError, pa.ArrowException):
        cached = pq.read_table(path, schema=_INDEX_SCHEMA, page_checksum_verification=True)
        if cached.num_rows == num_samples:
            return cached
    tables = [_INDEX_SCHEMA.empty_table()]
    with progress.stage("index", num_samples, "samples") as bar:
        for split, entry in manifest.splits.items():
            for shard in entry.shards:
                table = _index_shard(out / split / shard.name, split)
                if table.num_rows != shard.num_samples:
                    raise DatasetError(
                        f"{out / split / shard.name} has {table.num_rows} samples, but {MANIFEST} lists "
                        f"{shard.num_samples}; run `pix2gif verify {out}` for details"
                    )
                tables.append(table)
                bar.update(table.num_rows)
    index = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    with write_atomically(path) as temporary:
        pq.write_table(index, temporary, compression="zstd", write_page_checksum=True)
    return index


def _check_shards(out: Location, manifest: Manifest) -> None:
    """Raise DatasetError if a shard cannot be opened or does not have the size that the manifest lists.

    The cache may know samples whose shards are gone by now.
    """
    shards = [(out / split / shard.name, shard) for split, entry in manifest.splits.items() for shard in entry.shards]
    with ThreadPoolExecutor(_MAX_THREADS) as threads:
        list(threads.map(lambda shard: _check_size(*shard), shards))


def _check_size(path: Location, shard: ShardEntry) -> None:
    try:
        with path.open("rb") as file:
            num_bytes = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise DatasetError(f"{path} cannot be opened: {error.strerror or error}") from error
    if num_bytes != shard.num_bytes:
        raise DatasetError(
            f"{path} has {num_bytes:,} bytes, but {MANIFEST} lists {shard.num_bytes:,}; copy the data set again"
        )


def find_samples(index: pa.Table, filters: Filters) -> pa.Array:
    """Return the row numbers of all samples that match, in the order of the shards."""
    matches = pc.and_(
        pc.greater_equal(index["motion_px"], filters.min_motion), pc.less_equal(index["motion_px"], filters.max_motion)
    )
    if filters.split:
        matches = pc.and_(matches, pc.equal(index["split"].cast(pa.string()), filters.split))
    for word in filters.text.split():
        contains = [pc.match_substring(index[name], word, ignore_case=True) for name in ("caption", "clip_key")]
        matches = pc.and_(matches, pc.or_(*contains))
    return pc.indices_nonzero(matches)


def read_picture(out: Location, index: pa.Table, row: int, role: str) -> tuple[bytes, str]:
    """Read one picture from its tar. Returns its bytes and media type; raises OSError if the shard is missing."""
    split, shard, offset, size, image_format = (
        index[name][row].as_py() for name in ("split", "shard", f"{role}_offset", f"{role}_size", "image_format")
    )
    with (out / split / shard).open("rb", buffering=0) as file:
        file.seek(offset)
        return file.read(size), IMAGE_MIME[image_format]


def _index_shard(path: Location, split: str) -> pa.Table:
    """Read the headers and records of a shard, but no picture."""
    rows = []
    try:
        with on_disk(path) as local, local.open("rb") as file:
            for sample in walk_samples(file):
                record = SampleRecord.from_json(sample.record.read())
                rows.append(
                    {
                        "split": split,
                        "shard": path.name,
                        "clip_key": record.clip_key,
                        "caption": record.caption,
                        "source_index": record.source_index,
                        "target_index": record.target_index,
                        "gap_ms": record.gap_ms,
                        "motion_px": record.motion_px,
                        "image_format": sample.image_format,
                        "source_offset": sample.source.offset,
                        "source_size": sample.source.size,
                        "target_offset": sample.target.offset,
                        "target_size": sample.target.size,
                    }
                )
    except (tarfile.TarError, OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: not a valid shard: {error}") from error
    return pa.Table.from_pylist(rows, schema=_INDEX_SCHEMA)


def _cache_folder() -> Path:
    """Return the folder of cached indexes, creating it if needed."""
    folder = user_cache_folder() / "views"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
