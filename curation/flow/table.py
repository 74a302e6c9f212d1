"""The flow table on disk: Parquet files, called parts, with the measurements of their clips in the footer.

A part is written atomically. A later run reads the footers to find what need not be measured again: after a kill, or
when it is given this flow table with other selection options.
"""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from curation.batches import in_batches
from shards.errors import DatasetError
from shards.schema import FLOW_SCHEMA, PART_DIGITS, Verdict
from shards.storage.atomic import write_atomically
from shards.storage.location import Location, for_arrow, list_files, on_disk

_METHOD = b"pix2gif.method"
_CLIPS = b"pix2gif.clips"
_MAX_THREADS = 8
_BATCH_SIZE = 64
"""Parts to read ahead. A million clips have tens of thousands of parts."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """Measurement of one clip, without its flow-table rows. Independent of the selection options.

    The fields are written to the footer of flow parts, under their names.
    """

    clip_key: str
    sha256: str
    """SHA-256 of the GIF's bytes."""
    verdict: Verdict | None
    """None if pairs can be selected from the clip."""
    detail: str | None
    """The reason for the verdict; without a verdict, the damage after the last frame."""
    width: int
    height: int
    num_frames: int
    """Number of decoded frames."""
    num_pairs: int
    """Number of flow-table rows."""
    limits: str | None = None
    """The sandbox limits under which the clip failed; None if it did not. Under other limits it is measured again."""
    frames_sha256: str = ""
    """Digest of the frames, equal for exact duplicates; empty if the clip was not measured."""
    signature: str = ""
    """Perceptual hashes of frames, which find near-duplicates; empty if the clip was not measured."""
    decoder: str | None = None
    """What decoded the clip; None for a GIF, for which the method digest says it."""

    def to_fields(self) -> dict[str, Any]:
        """Return the fields as the footer has them. Footers of GIFs stay as they were before there was a decoder."""
        fields = dataclasses.asdict(self)
        if self.decoder is None:
            del fields["decoder"]
        return fields


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowPart:
    """One file of the flow table."""

    path: Location
    method: str
    """The method digest of its measurements."""
    measurements: tuple[Measurement, ...]
    is_narrow: bool = False
    """Whether `gap_ms` is int32, as in schema version 1. Rows of such a part are copied, but not the file."""


def write_part(
    folder: Location, method: str, measurements: Iterable[Measurement], tables: Iterable[pa.Table]
) -> FlowPart:
    """Write the rows and measurements of some clips as one part, named by the hash of its bytes."""
    measurements = tuple(measurements)
    footer = {_METHOD: method, _CLIPS: json.dumps([result.to_fields() for result in measurements])}
    table = pa.concat_tables([FLOW_SCHEMA.empty_table(), *tables]).unify_dictionaries().combine_chunks()
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(footer), sink, compression="zstd", write_page_checksum=True)
    data = sink.getvalue().to_pybytes()
    path = folder / _part_name(data)
    with write_atomically(path) as temporary:
        temporary.write_bytes(data)
    return FlowPart(path=path, method=method, measurements=measurements)


def copy_part(part: FlowPart, folder: Location) -> FlowPart:
    """Copy a part into another folder, under the same name."""
    return dataclasses.replace(part, path=_copy(part.path, folder))


def copy_parts(paths: Iterable[Path], folder: Location) -> list[Location]:
    """Copy parts from a disk in threads; for tens of thousands, this is faster than a worker task each."""
    with ThreadPoolExecutor(_MAX_THREADS) as threads:
        return list(threads.map(lambda path: _copy(path, folder), paths))


def _copy(path: Location, folder: Location) -> Location:
    with on_disk(path) as file, write_atomically(folder / path.name) as temporary:
        shutil.copyfile(file, temporary)
    return folder / path.name


def read_part(path: Location, method: str | None = None) -> FlowPart | None:
    """Read a part's footer.

    Returns None if the file's bytes do not match its name, or if `method` is given and the part has another one. Raises
    PermissionError.
    """
    try:
        parquet = pq.read_metadata(pa.BufferReader(_read_bytes(path)))
        footer = parquet.metadata or {}
        part = FlowPart(
            path=path,
            method=footer.get(_METHOD, b"").decode(),
            measurements=_parse_measurements(footer[_CLIPS]),
            is_narrow=parquet.schema.to_arrow_schema().field("gap_ms").type != FLOW_SCHEMA.field("gap_ms").type,
        )
    except PermissionError:
        raise  # Whoever runs this can change that, and then nothing is measured again.
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        return None
    return part if method in (None, part.method) else None


def read_parts(folder: Location, method: str | None = None) -> Iterator[FlowPart]:
    """Yield the parts of a folder that `read_part` accepts, ordered by name, several read at a time."""
    with ThreadPoolExecutor(_MAX_THREADS) as threads:
        for paths in in_batches(list_files(folder, "part-*.parquet"), _BATCH_SIZE):
            yield from filter(None, threads.map(lambda path: read_part(path, method), paths))


def count_rows(path: Location) -> int:
    """Count the rows of a part. Raises OSError if the file's bytes do not match its name."""
    return int(pq.read_metadata(pa.BufferReader(_read_bytes(path))).num_rows)


def read_measurements(path: Location) -> tuple[Measurement, ...]:
    """Read a part's measurements, of any method. Raises DatasetError if it has none."""
    try:
        footer = pq.read_metadata(for_arrow(path)).metadata or {}
        return _parse_measurements(footer[_CLIPS])
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: the measurements of its clips cannot be read: {error!r}") from error


def iterate_measurements(paths: Iterable[Location]) -> Iterator[Measurement]:
    """Yield the measurements of some parts, part by part. Raises DatasetError if a part has none."""
    with ThreadPoolExecutor(_MAX_THREADS) as threads:
        for batch in in_batches(paths, _BATCH_SIZE):
            for measurements in threads.map(read_measurements, batch):
                yield from measurements


def read_rows(path: Location) -> pa.Table:
    """Read the rows of a part. Raises OSError if a page does not match its checksum."""
    return pq.read_table(for_arrow(path), schema=FLOW_SCHEMA, page_checksum_verification=True)


def read_clips(path: Location, clip_keys: Iterable[str]) -> pa.Table:
    """Read the rows of some clips of a part. Raises OSError if a page does not match its checksum."""
    rows = read_rows(path)
    keys = pa.array(sorted(clip_keys), pa.string())
    selected = rows.filter(pa.compute.is_in(rows["clip_key"].cast(pa.string()), value_set=keys))
    # Encoded again, so that the dictionary does not contain the other clips.
    encoded = selected["clip_key"].cast(pa.string()).dictionary_encode()
    return selected.set_column(0, FLOW_SCHEMA.field("clip_key"), encoded)


def _read_bytes(path: Location) -> bytes:
    data = path.read_bytes()
    if _part_name(data) != path.name:
        raise OSError(f"{path} is damaged")
    return data


def _part_name(data: bytes) -> str:
    return f"part-{hashlib.sha256(data).hexdigest()[:PART_DIGITS]}.parquet"


def _parse_measurements(text: bytes) -> tuple[Measurement, ...]:
    return tuple(
        Measurement(**{**fields, "verdict": Verdict(fields["verdict"]) if fields["verdict"] else None})
        for fields in json.loads(text)
    )
