"""Shards -> a table of all samples: what each is, and where in its tar its pictures lie.

One pass over the headers and records of every shard, kept in a file beside the user's other caches, named by the
manifest: a second look at the same data set begins at once.
"""

import dataclasses
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shards.atomic import write_atomically
from shards.errors import DatasetError
from shards.location import Location, on_disk, user_cache_folder
from shards.manifest import Manifest
from shards.members import walk_samples
from shards.schema import IMAGE_MIME, MANIFEST, SampleRecord
from shards.writer import file_sha256

_INDEX_SCHEMA = pa.schema(
    [
        pa.field("split", pa.dictionary(pa.int8(), pa.string())),
        pa.field("shard", pa.dictionary(pa.int32(), pa.string())),
        pa.field("clip_key", pa.string()),
        pa.field("caption", pa.string()),
        pa.field("source_index", pa.int32()),
        pa.field("target_index", pa.int32()),
        pa.field("gap_ms", pa.int32()),
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
    """Which samples to show."""

    split: str = ""
    """Empty for all."""
    min_motion: float = 0.0
    max_motion: float = float("inf")
    text: str = ""
    """Words that the caption or the clip's key holds, all of them, in any case."""


def load_index(out: Location, manifest: Manifest, done: Callable[[int], object]) -> pa.Table:
    """Read the table of a data set's samples, or make it; tells `done` the samples of each shard that it passes.

    Raises DatasetError where a shard is not what the manifest tells.
    """
    path = _cache_folder() / f"{file_sha256(out / MANIFEST)}.parquet"
    total = sum(entry.num_samples for entry in manifest.splits.values())
    try:
        kept = pq.read_table(path, schema=_INDEX_SCHEMA, page_checksum_verification=True)
        if kept.num_rows == total:
            done(total)
            return kept
    except (OSError, pa.ArrowException):
        pass
    tables = [_INDEX_SCHEMA.empty_table()]
    for split, entry in manifest.splits.items():
        for shard in entry.shards:
            tables.append(_scan(out / split / shard.name, split))
            if tables[-1].num_rows != shard.num_samples:
                raise DatasetError(
                    f"{out / split / shard.name} holds {tables[-1].num_rows} samples, and {MANIFEST} tells "
                    f"{shard.num_samples}; `pix2gif verify {out}` tells more"
                )
            done(shard.num_samples)
    index = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    with write_atomically(path) as temporary:
        pq.write_table(index, temporary, compression="zstd", write_page_checksum=True)
    return index


def find_samples(index: pa.Table, filters: Filters) -> pa.Array:
    """List the rows of the index that pass, in the shards' order."""
    wanted = pc.and_(
        pc.greater_equal(index["motion_px"], filters.min_motion), pc.less_equal(index["motion_px"], filters.max_motion)
    )
    if filters.split:
        wanted = pc.and_(wanted, pc.equal(index["split"].cast(pa.string()), filters.split))
    for word in filters.text.split():
        found = [pc.match_substring(index[name], word, ignore_case=True) for name in ("caption", "clip_key")]
        wanted = pc.and_(wanted, pc.or_(*found))
    return pc.indices_nonzero(wanted)


def read_picture(out: Location, index: pa.Table, row: int, role: str) -> tuple[bytes, str]:
    """Read one picture out of its tar: its bytes and media type. Raises OSError where the shard is gone."""
    split, shard, offset, size, image_format = (
        index[name][row].as_py() for name in ("split", "shard", f"{role}_offset", f"{role}_size", "image_format")
    )
    with (out / split / shard).open("rb") as file:
        file.seek(offset)
        return file.read(size), IMAGE_MIME[image_format]


def _scan(path: Location, split: str) -> pa.Table:
    """Pass over a shard: headers and records, no picture."""
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
        raise DatasetError(f"{path}: cannot be read as a shard: {error}") from error
    return pa.Table.from_pylist(rows, schema=_INDEX_SCHEMA)


def _cache_folder() -> Path:
    folder = user_cache_folder() / "views"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
