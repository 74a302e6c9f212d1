"""The flow table on disk: Parquet parts, each with what became of its clips in its footer.

One part is one file and so appears whole or not at all; a run that was killed finds in the footers what need not be
measured again, and so does a later run that is pointed here with other thresholds.
"""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from curation.batches import in_batches
from shards.atomic import write_atomically
from shards.errors import DatasetError
from shards.location import Location, for_arrow, list_files, on_disk
from shards.schema import FLOW_SCHEMA, PART_DIGITS, Verdict

_METHOD = b"pix2gif.method"
_CLIPS = b"pix2gif.clips"
_MAX_THREADS = 8
_PARTS_AT_A_TIME = 64
"""Read ahead at most; a million clips have tens of thousands of parts."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """What measuring one clip found out, thresholds aside."""

    clip_key: str
    sha256: str
    """Of the GIF's bytes that were measured."""
    verdict: Verdict | None
    """None for a clip that was measured and can be selected from."""
    detail: str | None
    width: int
    height: int
    num_frames: int
    """Sound frames, decoded."""
    num_pairs: int
    """Rows of the flow table."""
    limits: str | None = None
    """Of time and memory, where it broke them or died: under others it may be measured."""
    frames_sha256: str = ""
    """Of the frames, by which exact copies are found; empty where the clip was not measured."""
    signature: str = ""
    """Perceptual hashes of frames, by which near copies are found."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowPart:
    """One file of the flow table."""

    path: Location
    measurements: tuple[Measurement, ...]


def write_part(
    folder: Location, method: str, measurements: Iterable[Measurement], tables: Iterable[pa.Table]
) -> FlowPart:
    """Write clips' rows and measurements as one part, whose name is the hash of its bytes."""
    measured = tuple(measurements)
    footer = {_METHOD: method, _CLIPS: json.dumps([dataclasses.asdict(one) for one in measured])}
    table = pa.concat_tables([FLOW_SCHEMA.empty_table(), *tables]).unify_dictionaries().combine_chunks()
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(footer), sink, compression="zstd", write_page_checksum=True)
    data = sink.getvalue().to_pybytes()
    path = folder / _part_name(data)
    with write_atomically(path) as temporary:
        temporary.write_bytes(data)
    return FlowPart(path=path, measurements=measured)


def copy_part(part: FlowPart, folder: Location) -> FlowPart:
    """Copy a part into another folder; its name tells its bytes, so it stays."""
    return dataclasses.replace(part, path=_copy(part.path, folder))


def _copy(path: Location, folder: Location) -> Location:
    with on_disk(path) as file, write_atomically(folder / path.name) as temporary:
        shutil.copyfile(file, temporary)
    return folder / path.name


def copy_parts(paths: Iterable[Path], folder: Location) -> list[Location]:
    """Copy parts that lie on a disk; a million clips have tens of thousands, each a task if workers did it."""
    with ThreadPoolExecutor(_MAX_THREADS) as threads:
        return list(threads.map(lambda path: _copy(path, folder), paths))


def read_part(path: Location, method: str) -> FlowPart | None:
    """Read a part's footer; None where its bytes are not those of its name, or it was measured in another way."""
    found = _read_footer(path)
    return found[1] if found and found[0] == method else None


def _read_footer(path: Location) -> tuple[str, FlowPart] | None:
    """Read how a part was measured, and what; None where its bytes are not those of its name."""
    try:
        data = path.read_bytes()
        if _part_name(data) != path.name:
            return None
        footer = pq.read_metadata(pa.BufferReader(data)).metadata or {}
        measurements = _parse_measurements(footer[_CLIPS])
        return footer.get(_METHOD, b"").decode(), FlowPart(path=path, measurements=measurements)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        return None


def count_rows(path: Location) -> int:
    """Count a part's rows. Raises OSError where its bytes are not those of its name."""
    data = path.read_bytes()
    if _part_name(data) != path.name:
        raise OSError(f"{path} is damaged")
    return int(pq.read_metadata(pa.BufferReader(data)).num_rows)


def read_measurements(path: Location) -> tuple[Measurement, ...]:
    """Read what a part tells of its clips, however they were measured. Raises DatasetError where it tells nothing."""
    try:
        footer = pq.read_metadata(for_arrow(path)).metadata or {}
        return _parse_measurements(footer[_CLIPS])
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} tells nothing of its clips: {error!r}") from error


def iterate_measurements(paths: Iterable[Location]) -> Iterator[Measurement]:
    """Yield what parts tell of their clips, part by part. Raises DatasetError where one tells nothing."""
    with ThreadPoolExecutor(_MAX_THREADS) as threads:
        for some in in_batches(paths, _PARTS_AT_A_TIME):
            for measurements in threads.map(read_measurements, some):
                yield from measurements


def _parse_measurements(text: bytes) -> tuple[Measurement, ...]:
    return tuple(
        Measurement(**{**fields, "verdict": Verdict(fields["verdict"]) if fields["verdict"] else None})
        for fields in json.loads(text)
    )


def _part_name(data: bytes) -> str:
    return f"part-{hashlib.sha256(data).hexdigest()[:PART_DIGITS]}.parquet"


def read_parts(folder: Location, method: str) -> Iterator[FlowPart]:
    """Yield the sound parts of a flow table that were measured by `method`, in the order of their names."""
    return (part for found, part in read_all_parts(folder) if found == method)


def read_all_parts(folder: Location) -> Iterator[tuple[str, FlowPart]]:
    """Yield the sound parts of a folder in the order of their names, each with how it was measured.

    Some are read at a time, as each takes its time to come from a store.
    """
    with ThreadPoolExecutor(_MAX_THREADS) as threads:
        for some in in_batches(list_files(folder, "part-*.parquet"), _PARTS_AT_A_TIME):
            yield from filter(None, threads.map(_read_footer, some))


def read_rows(path: Location) -> pa.Table:
    """Read a part's rows. Raises OSError where a page does not match its checksum."""
    return pq.read_table(for_arrow(path), schema=FLOW_SCHEMA, page_checksum_verification=True)


def read_clips(path: Location, clip_keys: Iterable[str]) -> pa.Table:
    """Read a part's rows of some clips. Raises OSError where a page does not match its checksum."""
    rows = read_rows(path)
    keys = pa.array(sorted(clip_keys), pa.string())
    wanted = rows.filter(pa.compute.is_in(rows["clip_key"].cast(pa.string()), value_set=keys))
    # Encoded afresh, so that the dictionary forgets the other clips.
    encoded = wanted["clip_key"].cast(pa.string()).dictionary_encode()
    return wanted.set_column(0, FLOW_SCHEMA.field("clip_key"), encoded)
