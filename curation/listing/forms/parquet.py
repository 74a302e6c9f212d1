"""Parquet as a listing: a column of uris, or the bytes of the GIFs in a binary column or the hub's {bytes, path}."""

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.archives.location import PARQUET, Archive, Archives
from curation.archives.row_groups import MAX_GROUP_BYTES
from curation.config import CurationConfig
from curation.errors import ListingError
from curation.listing.columns import (
    CAPTION_NAMES,
    URI_NAMES,
    Columns,
    check_kept,
    find_column,
    find_columns,
    list_columns,
)
from curation.listing.forms.tables import clean_rows, hash_file
from curation.listing.listed import ROWS_PER_BATCH, ListedFile, first_sentence
from shards.errors import StoreError
from shards.storage.location import open_for_arrow

_BYTES, _PATH = "bytes", "path"
_BYTES_NAMES = (*URI_NAMES, "bytes", "content", "data")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BytesColumn:
    """The column of a Parquet file that holds the bytes of GIFs."""

    name: str
    has_path: bool
    """Whether it is the hub's struct, which names the file too."""

    @property
    def leaf(self) -> str:
        """The binary column in the file."""
        return f"{self.name}.{_BYTES}" if self.has_path else self.name


class ParquetTable:
    """A Parquet file of a listing."""

    def __init__(self, file: ListedFile, config: CurationConfig) -> None:
        """Open a file and find its columns. Raises ListingError."""
        self.file = file
        self._opened = _open(file)
        self._schema = self._opened.schema_arrow
        names = self._schema.names
        self.bytes = _find_bytes(self._schema, config, file.shown)
        if self.bytes is None:
            self._columns = find_columns(names, config, file.shown)
        else:
            self._columns = self._find_beside_bytes(self.bytes, names, config)
            self._check_groups(self.bytes)
        self._check_types()

    def __str__(self) -> str:
        """Say which columns are read."""
        if self.bytes is None:
            return str(self._columns)
        uri = f"{self.bytes.name}.{_PATH}" if self.bytes.has_path else "the file and the row"
        named = repr(self._columns.uri) if self._columns.uri else uri
        return f"bytes in {self.bytes.name!r}, uris from {named}, captions in {self._columns.caption!r}"

    def sha256(self) -> str:
        """Return the hash of the file; of its footer and size, if it holds bytes, which may be many."""
        if self.bytes is None:
            return hash_file(self.file)
        sink = pa.BufferOutputStream()
        self._opened.metadata.write_metadata_file(sink)
        return hashlib.sha256(sink.getvalue()).hexdigest()

    def read(self, archives: Archives) -> Iterator[pa.RecordBatch]:
        """Yield the rows in batches, those with bytes with their place. Raises ListingError."""
        batches = self._read_uris() if self.bytes is None else self._read_places(self.bytes, archives)
        return clean_rows(batches, self.file.shown, self._columns)

    def _read_uris(self) -> Iterator[pa.RecordBatch]:
        return self._iterate(self._columns.sources, list(range(self._opened.num_row_groups)))

    def _read_places(self, column: BytesColumn, archives: Archives) -> Iterator[pa.RecordBatch]:
        number = archives.add(Archive(kind=PARQUET, location=str(self.file.source), column=column.leaf))
        sources = self._columns.sources
        if "uri" not in sources and column.has_path:
            sources["uri"] = f"{column.name}.{_PATH}"
        first = 0
        for group in range(self._opened.num_row_groups):
            row = 0
            for batch in self._iterate(sources, [group]):
                rows = range(row, row + batch.num_rows)
                paths = batch["uri"].to_pylist() if "uri" in sources else [None] * batch.num_rows
                # A row without a path is named by its number in the file.
                uris = [path or f"{self.file.name}/{first + index}" for path, index in zip(paths, rows, strict=True)]
                columns = {name: batch[name] for name in batch.schema.names}
                columns["uri"] = pa.array(uris, pa.string())
                columns["place"] = pa.array([f"{number}:{group}:{index}" for index in rows], pa.string())
                yield pa.record_batch(columns)
                row += batch.num_rows
            first += row

    def _iterate(self, sources: dict[str, str], groups: list[int]) -> Iterator[pa.RecordBatch]:
        wanted = list(dict.fromkeys(sources.values()))
        try:
            for batch in self._opened.iter_batches(
                ROWS_PER_BATCH, row_groups=groups, columns=wanted, use_threads=False
            ):
                yield pa.record_batch({name: _pick(batch, source) for name, source in sources.items()})
        except (pa.ArrowException, OSError, StoreError, ValueError) as error:
            raise ListingError(f"{self.file.shown}: {first_sentence(error)}") from error

    def _find_beside_bytes(self, column: BytesColumn, names: list[str], config: CurationConfig) -> Columns:
        """Find the other columns of a file that holds bytes. Its uri may be the path beside the bytes."""
        texts = [name for name in names if name != column.name and _is_text(self._schema.field(name).type)]
        uri = config.uri_column
        if uri is None and not column.has_path:
            uri = next((name for name in texts if name.lower() in URI_NAMES), None)
        if uri == column.name:
            uri = None
        others = [name for name in names if name != column.name]
        caption = find_column(others, config.caption_column, CAPTION_NAMES, "--caption-column", self.file.shown, uri)
        check_kept(names, config.keep_columns, self.file.shown)
        return Columns(uri=uri, caption=caption, kept=config.keep_columns, file=None)

    def _check_groups(self, column: BytesColumn) -> None:
        """Raise ListingError if a row group is so large that reading one GIF of it would take seconds."""
        metadata = self._opened.metadata
        for group in range(metadata.num_row_groups):
            chunks = (metadata.row_group(group).column(index) for index in range(metadata.num_columns))
            size = next(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema == column.leaf)
            if size > MAX_GROUP_BYTES:
                raise ListingError(
                    f"{self.file.shown}: row group {group} has {size / 2**30:.1f} GiB of GIFs, more than "
                    f"{MAX_GROUP_BYTES / 2**30:.0f} GiB, so that single ones cannot be read; write the file again with "
                    "fewer rows a row group (row_group_size=100 in pyarrow)"
                )

    def _check_types(self) -> None:
        """Raise ListingError if the uris or the captions are no texts."""
        for name, option in ((self._columns.uri, "--uri-column"), (self._columns.caption, "--caption-column")):
            if name is None:
                continue
            kind = self._schema.field(name).type
            if option == "--caption-column" and (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
                kind = kind.value_type
            if not _is_text(kind):
                raise ListingError(
                    f"{self.file.shown}: the column {name!r} has {kind}, not text; name another by {option}; "
                    f"{list_columns(self._schema.names)}"
                )


def _open(file: ListedFile) -> pq.ParquetFile:
    try:
        source: Any = pa.BufferReader(file.source) if isinstance(file.source, bytes) else open_for_arrow(file.source)
        return pq.ParquetFile(source, pre_buffer=False, buffer_size=2**20)
    except (pa.ArrowException, OSError, StoreError, ValueError) as error:
        raise ListingError(f"{file.shown} cannot be read as Parquet: {first_sentence(error)}") from error


def _pick(batch: pa.RecordBatch, source: str) -> pa.Array:
    """Return a column of a batch, or the field of a struct, as in `image.path`."""
    if source in batch.schema.names:
        return batch[source]
    name, _, field = source.rpartition(".")
    return batch[name].field(field)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _as_bytes_column(field: pa.Field) -> BytesColumn | None:
    kind = field.type
    if _is_binary(kind):
        return BytesColumn(name=field.name, has_path=False)
    names = [kind.field(index).name for index in range(kind.num_fields)] if pa.types.is_struct(kind) else []
    if {_BYTES, _PATH} <= set(names) and _is_binary(kind.field(names.index(_BYTES)).type):
        return BytesColumn(name=field.name, has_path=True)
    return None


def _find_bytes(schema: pa.Schema, config: CurationConfig, shown: str) -> BytesColumn | None:
    """Return the column that holds bytes; None if there is none. Raises ListingError if several may."""
    found = [column for field in schema if (column := _as_bytes_column(field)) is not None]
    if named := [column for column in found if column.name == config.uri_column]:
        return named[0]
    if len(found) > 1:
        usual = [column for column in found if column.name.lower() in _BYTES_NAMES]
        if len(usual) != 1:
            names = ", ".join(column.name for column in found)
            raise ListingError(f"{shown}: which column holds the GIFs, {names}? Name it by --uri-column")
        return usual[0]
    return found[0] if found else None
