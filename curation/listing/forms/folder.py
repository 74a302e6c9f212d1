"""A folder as a listing: animations with NAME.txt or NAME.json beside them, or the hub's metadata.csv or .jsonl."""

import hashlib
from collections.abc import Iterator

import pyarrow as pa

from curation.archives.entry import MAX_TEXT_BYTES, Entry
from curation.archives.folders import list_folder
from curation.archives.location import FOLDER, Archive, Archives
from curation.config import CurationConfig
from curation.errors import ListingError
from curation.listing.forms.samples import ANIMATIONS, Sample, Texts, make_batches
from curation.listing.forms.tables import read_text_table
from curation.listing.listed import ListedFile, digest_parts
from curation.listing.sources import Form
from shards.errors import StoreError, describe_error
from shards.storage.location import Location, read_at_most

_METADATA = {"metadata.csv": Form.CSV, "metadata.jsonl": Form.JSON_LINES}


def read_folder(
    file: ListedFile, archives: Archives, config: CurationConfig, out: Location
) -> tuple[str, Iterator[pa.RecordBatch], bool]:
    """Return the hash of a folder's names and captions, its rows, and whether they are those of metadata files.

    The folder `out`, of the data set, may be in it and is left out. Raises ListingError.
    """
    folder = file.source
    assert not isinstance(folder, bytes)  # noqa: S101 # A folder is no download.
    try:
        entries = list_folder(folder, out)
        metadata = [entry for entry in entries if entry.name.rpartition("/")[2] in _METADATA]
        if metadata:
            return *_read_metadata(folder, metadata, config), True
        sha256, samples = _read_samples(folder, entries, archives, config)
        return sha256, make_batches(samples, config.keep_columns), False
    except (OSError, StoreError) as error:
        raise ListingError(f"cannot read the listing {file.shown}: {describe_error(error)}") from error


def _read_samples(
    folder: Location, entries: list[Entry], archives: Archives, config: CurationConfig
) -> tuple[str, Iterator[Sample]]:
    animations = [entry for entry in entries if entry.name.lower().endswith(ANIMATIONS)]
    if not animations:
        raise ListingError(
            f"the folder {folder} has no animation ({', '.join(ANIMATIONS[:3])}, ...) and no {' or '.join(_METADATA)}"
        )
    texts, digest = Texts(config), hashlib.sha256()
    for entry in entries:
        if Texts.is_text(entry):
            digest.update(texts.add(entry, lambda entry: read_at_most(folder / entry.place, MAX_TEXT_BYTES + 1)))
    number = archives.add(Archive(kind=FOLDER, location=str(folder)))
    sha256 = digest_parts([digest.hexdigest(), *(entry.name for entry in animations)])
    return sha256, (texts.describe(entry, f"{number}:{entry.place}") for entry in animations)


def _read_metadata(
    folder: Location, metadata: list[Entry], config: CurationConfig
) -> tuple[str, Iterator[pa.RecordBatch]]:
    """Read metadata files; their names of files are relative to their own folders."""
    parts, tables = [], []
    for entry in metadata:
        below, _, name = entry.name.rpartition("/")
        listed = ListedFile(name=entry.name, source=folder / entry.place, shown=f"{folder}/{entry.name}")
        _, sha256, batches = read_text_table(listed, _METADATA[name], config)
        parts.append((entry.name, sha256))
        tables.append((below, batches))
    return digest_parts(parts), _place_below(tables)


def _place_below(tables: list[tuple[str, Iterator[pa.RecordBatch]]]) -> Iterator[pa.RecordBatch]:
    for below, batches in tables:
        for batch in batches:
            if not below:
                yield batch
                continue
            uris = [uri if "://" in uri else f"{below}/{uri}" for uri in batch["uri"].to_pylist()]
            yield batch.set_column(batch.schema.get_field_index("uri"), "uri", pa.array(uris, pa.string()))
