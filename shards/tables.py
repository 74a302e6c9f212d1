"""Read the Parquet files of a data set: checksums, columns and types are checked."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shards.errors import DatasetError
from shards.schema import FLOW_SCHEMA, add_missing_columns
from shards.storage.location import Location, for_arrow


def read_rows_by_clip(path: Location, file: Path) -> list[tuple[str, pa.Table]]:
    """Return the rows of a flow part, one table per clip key. Raises DatasetError."""
    table = read_table(path, file, FLOW_SCHEMA).combine_chunks()
    if not table.num_rows:
        return []
    keys = table["clip_key"].chunk(0)
    codes = keys.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    bounds = np.flatnonzero(np.diff(codes[order], prepend=-1))
    table = table.take(pa.array(order))
    return [
        (keys.dictionary[int(codes[order[start]])].as_py(), table.slice(start, end - start))
        for start, end in zip(bounds, [*bounds[1:], len(order)], strict=True)
    ]


def read_table(path: Location, file: Path, schema: pa.Schema) -> pa.Table:
    """Read a Parquet file with a schema of the contract; `path` names it in errors. Raises DatasetError."""
    try:
        table = pq.read_table(for_arrow(file), page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{path}: cannot be read as Parquet: {error}") from error
    table = add_missing_columns(table, schema)
    if missing := [name for name in schema.names if name not in table.column_names]:
        raise DatasetError(f"{path}: lacks the column {missing[0]}")
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowException, ValueError) as error:
        raise DatasetError(f"{path}: column types are not those of the schema: {error}") from error
