"""The files of a listing -> its rows, whatever form it has."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from curation.archives.location import Archives
from curation.config import CurationConfig
from curation.errors import ListingError
from curation.listing.columns import check_kept_names, file_column
from curation.listing.forms.folder import read_folder
from curation.listing.forms.parquet import ParquetTable
from curation.listing.forms.tables import combine_hashes, read_text_table
from curation.listing.forms.tgif import parse_tgif
from curation.listing.forms.unique_names import make_unique
from curation.listing.forms.webdataset import read_tars
from curation.listing.listed import ListedFile, Listing
from curation.listing.sources import Form, read_whole, recognise
from shards.storage.location import Location

_MAX_THREADS = 16


def read_files(files: Sequence[ListedFile], config: CurationConfig, out: Location) -> Listing:
    """Recognise the form of a listing and begin to read its rows. Raises ListingError.

    out: the folder of the data set, which is no part of a folder that is listed.
    """
    check_kept_names(config.keep_columns)
    form = _find_form(files, config)
    if form is Form.TGIF:
        return _read_tgif(files, config)
    if form is Form.PARQUET:
        return _read_parquet(files, config)
    if form is Form.TAR:
        return _read_tars(files, config)
    if form is Form.FOLDER:
        return _read_folder(files[0], config, out)
    return _read_tables(files, form, config)


def _find_form(files: Sequence[ListedFile], config: CurationConfig) -> Form:
    named = config.uri_column is not None or config.caption_column is not None
    with ThreadPoolExecutor(_MAX_THREADS) as threads:
        forms = list(threads.map(lambda file: recognise(file, named), files))
    for file, form in zip(files, forms, strict=True):
        if form is not forms[0]:
            raise ListingError(
                f"{files[0].shown} is {forms[0].value}, and {file.shown} is {form.value}; list files of one form"
            )
    if forms[0] is Form.FOLDER and len(files) > 1:
        raise ListingError(f"{files[0].shown} and {files[1].shown} are folders; list one folder")
    return forms[0]


def _refuse_columns(file: ListedFile, config: CurationConfig, *names: str) -> None:
    """Raise ListingError if an option that names a column is given for a form of listing without such columns."""
    for name in names:
        if value := getattr(config, name):
            option = f"--{name.replace('_', '-')}"
            raise ListingError(f"{option} is {value!r}, but {file.shown} has no columns with names; leave it out")


def _refuse_file_column(file: ListedFile, config: CurationConfig) -> None:
    if file_column(config) is not None:
        raise ListingError(f"--gifs-by is {config.gifs_by}, but {file.shown} has no columns with names; leave it out")


def _read_tgif(files: Sequence[ListedFile], config: CurationConfig) -> Listing:
    _refuse_columns(files[0], config, "keep_columns")
    _refuse_file_column(files[0], config)
    hashes, parsed = [], []
    for file in files:
        data = read_whole(file)
        hashes.append((file.name, hashlib.sha256(data).hexdigest()))
        parsed.append(parse_tgif(file.shown, data))
        del data
    return Listing(sha256=combine_hashes(hashes), batches=_chain(parsed))


def _chain(tables: list[Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    while tables:
        yield from tables.pop(0)


def _read_tables(files: Sequence[ListedFile], form: Form, config: CurationConfig) -> Listing:
    hashes, tables = [], []
    for file in files:
        columns, sha256, batches = read_text_table(file, form, config)
        hashes.append((file.name, sha256))
        tables.append(batches)
    return Listing(sha256=combine_hashes(hashes), batches=_chain(tables), notes=(f"listing: {form.value}, {columns}",))


def _read_parquet(files: Sequence[ListedFile], config: CurationConfig) -> Listing:
    tables = [ParquetTable(file, config) for file in files]
    archives, first = Archives(), tables[0]
    for table in tables[1:]:
        if str(table) != str(first):
            raise ListingError(f"{first.file.shown} has {first}, and {table.file.shown} has {table}; name the columns")
    hashes = [(table.file.name, table.sha256()) for table in tables]
    batches = _chain([table.read(archives) for table in tables])
    if first.bytes is not None:
        for file in files:
            if isinstance(file.source, bytes):
                raise ListingError(f"{file.shown} holds GIFs and is on the web; name a folder to keep it in by --cache")
        _refuse_file_column(files[0], config)
        batches = _make_rows_unique(batches, [file.name for file in files])
    return Listing(
        sha256=combine_hashes(hashes),
        batches=batches,
        archives=archives,
        holds_gifs=first.bytes is not None,
        notes=(f"listing: Parquet, {first}",),
    )


def _make_rows_unique(batches: Iterator[pa.RecordBatch], names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    yield from make_unique(list(batches), names, has_rows=True)


def _read_tars(files: Sequence[ListedFile], config: CurationConfig) -> Listing:
    _refuse_columns(files[0], config, "uri_column")
    _refuse_file_column(files[0], config)
    archives = Archives()
    sha256, rows = read_tars(files, archives, config)
    batches = make_unique(rows, [file.name for file in files], has_rows=False)
    count = f"{len(files):,} {'tar' if len(files) == 1 else 'tars'}"
    notes = (f"listing: WebDataset, {count}",)
    return Listing(sha256=sha256, batches=batches, archives=archives, holds_gifs=True, notes=notes)


def _read_folder(file: ListedFile, config: CurationConfig, out: Location) -> Listing:
    archives = Archives()
    sha256, rows, is_table = read_folder(file, archives, config, out)
    if not is_table:
        _refuse_columns(file, config, "uri_column")
        _refuse_file_column(file, config)
    return Listing(
        sha256=sha256,
        batches=rows,
        archives=archives,
        holds_gifs=True,
        folder=file.source if isinstance(file.source, Path) else None,
        base=str(file.source),
        notes=(f"listing: the folder {file.shown}, {'by its metadata' if is_table else 'captions beside the files'}",),
    )
