"""Listings with named columns, as text: CSV, TSV with a header, JSON Lines."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from curation.batches import in_batches
from curation.config import CurationConfig
from curation.errors import ListingError
from curation.listing.columns import Columns, find_columns
from curation.listing.listed import (
    ROWS_PER_BATCH,
    ListedFile,
    clean_batch,
    digest_parts,
    expand_captions,
    first_sentence,
)
from curation.listing.sources import Form, read_head
from shards.errors import StoreError, describe_error
from shards.json_fields import load_json
from shards.storage.location import open_for_arrow

_BLOCK_BYTES = 2**22
"""A row is in one block, or in two."""
MAX_LINE_BYTES = 2**22
_CHUNK_BYTES = 2**20
_NUMBER = re.compile(r"\s*[-+]?\d[\d.,]*(?:[eE][-+]?\d+)?\s*")


def read_text_table(
    file: ListedFile, form: Form, config: CurationConfig
) -> tuple[Columns, str, Iterator[pa.RecordBatch]]:
    """Return the columns of a table, the SHA-256 of its bytes, and its rows in batches. Raises ListingError."""
    names = _read_json_names(file) if form is Form.JSON_LINES else _read_header(file, "," if form is Form.CSV else "\t")
    columns = find_columns(names, config, file.shown)
    if form is Form.JSON_LINES:
        batches = _read_json_lines(file, columns)
    else:
        batches = _read_delimited(file, "," if form is Form.CSV else "\t", columns)
    return columns, hash_file(file), clean_rows(batches, file.shown, columns)


def clean_rows(batches: Iterator[pa.RecordBatch], shown: str, columns: Columns) -> Iterator[pa.RecordBatch]:
    """Check the texts of batches, and make one row for each caption of a list. Raises ListingError."""
    first_row = 1
    for batch in batches:
        if not batch.num_rows:
            continue
        cleaned = clean_batch(expand_captions(batch), shown, first_row)
        if first_row == 1:
            _check_are_texts(cleaned["caption"], shown, columns)
        yield cleaned
        first_row += batch.num_rows
    if first_row == 1:
        raise ListingError(f"the listing {shown} has no row")


def _check_are_texts(captions: pa.Array, shown: str, columns: Columns) -> None:
    texts = [text for text in captions.to_pylist() if text.strip()]
    if texts and all(map(_NUMBER.fullmatch, texts)):
        raise ListingError(
            f"{shown}: the column {columns.caption!r} has numbers, such as {texts[0]!r}, and no captions; name another "
            "by --caption-column"
        )


def hash_file(file: ListedFile) -> str:
    """Return the SHA-256 of a listed file. Raises ListingError."""
    if isinstance(file.source, bytes):
        return hashlib.sha256(file.source).hexdigest()
    digest = hashlib.sha256()
    try:
        with file.source.open("rb", buffering=0) as opened:
            while chunk := opened.read(_CHUNK_BYTES):
                digest.update(chunk)
    except (OSError, StoreError) as error:
        raise ListingError(f"cannot read the listing {file.shown}: {describe_error(error)}") from error
    return digest.hexdigest()


def combine_hashes(hashes: Sequence[tuple[str, str]]) -> str:
    """Return the hash of one file, or of the names and hashes of several."""
    return hashes[0][1] if len(hashes) == 1 else digest_parts(hashes)


def _open(file: ListedFile) -> Any:
    """Return a file for Arrow."""
    return pa.BufferReader(file.source) if isinstance(file.source, bytes) else open_for_arrow(file.source)


def _read_header(file: ListedFile, delimiter: str) -> list[str]:
    try:
        text = read_head(file).decode("utf-8-sig", "ignore")
        names = next((row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row), [])
    except csv.Error as error:
        raise ListingError(f"{file.shown}, line 1: {error}") from error
    if not names:
        raise ListingError(f"the listing {file.shown} is empty; its first line names the columns")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ListingError(f"{file.shown} has two columns {repeated[0]!r}; rename one")
    return names


def _read_delimited(file: ListedFile, delimiter: str, columns: Columns) -> Iterator[pa.RecordBatch]:
    wanted = list(dict.fromkeys(columns.sources.values()))
    try:
        reader = pa_csv.open_csv(
            _open(file),
            read_options=pa_csv.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=False
            ),
        )
        for batch in reader:
            yield pa.record_batch({name: batch[source] for name, source in columns.sources.items()})
    except (pa.ArrowException, OSError, StoreError) as error:
        text = first_sentence(error)
        if "UTF8" in text:
            raise ListingError(f"{file.shown} is not UTF-8 text; save the file as UTF-8") from error
        raise ListingError(f"{file.shown}: {text}") from error


def _read_json_names(file: ListedFile) -> list[str]:
    names: dict[str, None] = {}
    for number, line in enumerate(read_head(file).removeprefix(b"\xef\xbb\xbf").splitlines()[:100], 1):
        if line.strip():
            try:
                names |= dict.fromkeys(_parse_object(line, file.shown, number))
            except ListingError:
                if not names:  # The last line of the head is cut.
                    raise
    if not names:
        raise ListingError(f"the listing {file.shown} is empty; write one JSON object a line")
    return list(names)


def _read_json_lines(file: ListedFile, columns: Columns) -> Iterator[pa.RecordBatch]:
    # By line, not by Arrow's reader: its errors do not name the line.
    for lines in in_batches(_list_lines(file), ROWS_PER_BATCH):
        rows = [_parse_object(line, file.shown, number) for number, line in lines]
        captions = [row.get(columns.caption) for row in rows]
        for (number, _), caption in zip(lines, captions, strict=True):
            _check_caption(caption, f"{file.shown}, line {number}", columns.caption)
        uris = [row.get(columns.sources["uri"]) for row in rows]
        for (number, _), uri in zip(lines, uris, strict=True):
            if not isinstance(uri, str):
                raise ListingError(f"{file.shown}, line {number}: {columns.uri!r} is no text: {str(uri)[:60]}")
        arrays = {"uri": _text_array(uris, file.shown)}
        if any(isinstance(caption, list) for caption in captions):
            lists = [caption if isinstance(caption, list) else [caption or ""] for caption in captions]
            arrays["caption"] = _text_array(lists, file.shown, pa.list_(pa.string()))
        else:
            arrays["caption"] = _text_array(captions, file.shown)
        for name, source in columns.sources.items():
            if name not in arrays:
                arrays[name] = _text_array([as_text(row.get(source)) for row in rows], file.shown)
        yield pa.record_batch(arrays)


def _text_array(values: list[Any], shown: str, kind: pa.DataType | None = None) -> pa.Array:
    try:
        return pa.array(values, kind or pa.string())
    except (pa.ArrowException, UnicodeEncodeError) as error:
        raise ListingError(f"{shown}: half of a surrogate pair, which is no character") from error


def as_text(value: Any) -> str | None:
    """Return a JSON value as text: a string as it is, null as None, any other as JSON. Half characters are escaped."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()


def _check_caption(caption: Any, where: str, column: str) -> None:
    values = caption if isinstance(caption, list) else [caption]
    for value in values:
        if value is not None and not isinstance(value, str):
            raise ListingError(
                f"{where}: {column!r} is no caption: {str(value)[:60]}; name another by --caption-column"
            )


def _list_lines(file: ListedFile) -> Iterator[tuple[int, bytes]]:
    try:
        opened = io.BytesIO(file.source) if isinstance(file.source, bytes) else file.source.open("rb")
        with opened:
            number = 0
            while line := opened.readline(MAX_LINE_BYTES):
                number += 1
                if len(line) == MAX_LINE_BYTES:
                    raise ListingError(f"{file.shown}, line {number}: longer than {MAX_LINE_BYTES:,} bytes")
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if line.strip():
                    yield number, line
    except (OSError, StoreError) as error:
        raise ListingError(f"cannot read the listing {file.shown}: {describe_error(error)}") from error


def _parse_object(line: bytes, shown: str, number: int) -> dict[str, Any]:
    try:
        row = load_json(line)
    except ValueError as error:
        raise ListingError(f"{shown}, line {number}: not JSON: {str(error)[:100]}") from error
    if not isinstance(row, dict):
        raise ListingError(f"{shown}, line {number}: not a JSON object: {line[:60]!r}")
    return row
