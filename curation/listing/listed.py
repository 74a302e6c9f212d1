"""What every form of listing is read into: rows in batches, and where the bytes of members are.

A batch has the columns `uri` and `caption` (string, without nulls), and may have `clip_key` (string), `place` (string,
null where the uri alone says where the bytes are) and the columns to keep.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.archives.location import Archives
from curation.errors import ListingError
from shards.storage.location import Location

ROWS_PER_BATCH = 16_384
MAX_TEXT_BYTES = 2**16
"""Of the uri or the caption of a row."""
FILE_COLUMN = "gifs file"
"""Column of a batch for `--gifs-by column:NAME`: the file of a row."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListedFile:
    """A file of the listing."""

    name: str
    """Its name below the folder of the listing."""
    source: Location | bytes
    """The bytes of a file that was downloaded, or where they are."""
    shown: str
    """Its name in messages."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listing:
    """A listing that was recognised and can be read."""

    sha256: str
    """Identifies the listing; of its bytes, if it is one file of text or of a table."""
    batches: Iterable[pa.RecordBatch]
    """May be read once."""
    archives: Archives = dataclasses.field(default_factory=Archives)
    """Of the places in the batches."""
    holds_gifs: bool = False
    """Whether the GIFs are in the listing itself: bytes in Parquet, members of tars, files of a folder."""
    base: str | None = None
    """Where relative uris start. None: at the folder of the listing."""
    folder: Path | None = None
    """The folder on disk, if the listing is one: its uris may not lead out of it."""
    notes: tuple[str, ...] = ()
    """What was recognised, for the user."""


def expand_captions(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return one row for each caption in a column of lists; a row without captions stays, with an empty one."""
    captions = batch["caption"]
    if not (pa.types.is_list(captions.type) or pa.types.is_large_list(captions.type)):
        return batch
    lengths = pc.fill_null(pc.list_value_length(captions), 0).to_numpy()
    rows = np.repeat(np.arange(len(captions)), np.maximum(lengths, 1))
    is_listed = np.repeat(lengths > 0, np.maximum(lengths, 1))
    flat = captions.flatten()
    positions = pa.array(np.cumsum(is_listed) - 1, mask=~is_listed)
    expanded = batch.take(pa.array(rows))
    return expanded.set_column(batch.schema.get_field_index("caption"), "caption", flat.take(positions))


def clean_batch(batch: pa.RecordBatch, shown: str, first_row: int) -> pa.RecordBatch:
    """Return a batch of a table with texts that every table can hold; `first_row` is its first row, from 1.

    A caption that is missing becomes empty. Raises ListingError for a row without a uri, for text that is not UTF-8
    and for text that is too long.
    """
    columns = {}
    for name in batch.schema.names:
        column = batch[name]
        if name in ("uri", "caption", FILE_COLUMN):
            try:
                column = column.cast(pa.string())
                column.validate(full=True)
            except pa.ArrowException:
                raise ListingError(f"{shown}: the text after row {first_row:,} is not UTF-8") from None
            column = pc.fill_null(column, "")
        columns[name] = column
    if (row := pc.index(pc.equal(pc.utf8_trim_whitespace(columns["uri"]), ""), True).as_py()) >= 0:
        raise ListingError(f"{shown}, row {first_row + row:,}: no path or url")
    for name, what in (("uri", "path or url"), ("caption", "caption")):
        longest = pc.max(pc.binary_length(columns[name])).as_py() or 0
        if longest > MAX_TEXT_BYTES:
            row = pc.index(pc.greater(pc.binary_length(columns[name]), MAX_TEXT_BYTES), True).as_py()
            raise ListingError(
                f"{shown}, row {first_row + row:,}: the {what} has more than {MAX_TEXT_BYTES:,} bytes; shorten it"
            )
    return pa.record_batch(columns)


def digest_parts(parts: Iterable[object]) -> str:
    """Return the SHA-256 of JSON values, one a line."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(part).encode() + b"\n")
    return digest.hexdigest()


def first_sentence(error: Exception) -> str:
    """Return what an error of Arrow says, as the end of a message."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:200].partition(". ")[0].rstrip(".")
