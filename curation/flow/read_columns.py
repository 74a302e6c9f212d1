"""Read columns of flow parts as arrays, several parts at a time."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shards.errors import DatasetError
from shards.storage.location import Location, for_arrow

Result = TypeVar("Result")

_MAX_THREADS = 8


def read_parts_concurrently(paths: Iterable[Location], read: Callable[[Location], Result]) -> Iterator[Result]:
    """Yield `read(path)` for each path, in order. One thread per core calls `read`, up to 8."""
    with ThreadPoolExecutor(min(_MAX_THREADS, len(os.sched_getaffinity(0)))) as threads:
        yield from threads.map(read, paths)


def read_part_columns(path: Location, *names: str) -> tuple[list[str], list[NDArray[Any]]]:
    """Read the clip keys and some columns of a flow part with R rows.

    Returns (keys, columns). The first column holds each row's index in `keys`, [R]; the named columns follow, [R] each.
    Raises DatasetError if the part is damaged.
    """
    try:
        file = pq.ParquetFile(for_arrow(path), read_dictionary=["clip_key"], page_checksum_verification=True)
        table = file.read(["clip_key", *names], use_threads=False).unify_dictionaries().combine_chunks()
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{path}: cannot be read as a part of the flow table: {error}") from error
    if not table.num_rows:
        return [], [np.zeros(0, np.int32)] * (1 + len(names))
    keys = table["clip_key"].chunk(0)
    return keys.dictionary.to_pylist(), [keys.indices.to_numpy(), *(table[name].to_numpy() for name in names)]
