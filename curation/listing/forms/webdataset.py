"""WebDataset tars as a listing: their members are animations, each with a .txt or .json that holds its caption."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from curation.archives.entry import Entry
from curation.archives.errors import ArchiveError
from curation.archives.location import TAR, Archive, Archives
from curation.archives.tars import list_tar, open_tar, read_text
from curation.config import CurationConfig
from curation.errors import ListingError
from curation.listing.forms.samples import ANIMATIONS, Texts, make_batches
from curation.listing.listed import ListedFile, digest_parts
from shards.storage.location import Location

_MAX_THREADS = 16
"""Tars in a store that are listed at once."""


def read_tars(
    files: Sequence[ListedFile], archives: Archives, config: CurationConfig
) -> tuple[str, list[pa.RecordBatch]]:
    """Return the hash of tars, of their members' names, places and captions, and their rows. Raises ListingError.

    Tars on disk are listed one after the other, since that takes a core; others wait for answers, and are listed
    together.
    """
    numbers = [archives.add(Archive(kind=TAR, location=str(file.source))) for file in files]
    num_threads = 1 if isinstance(files[0].source, Path) else _MAX_THREADS
    with ThreadPoolExecutor(num_threads) as threads:
        read = list(threads.map(lambda number, file: _read_tar(number, file, config), numbers, files))
    digest = digest_parts((file.name, sha256) for file, (sha256, _) in zip(files, read, strict=True))
    batches = [batch for _, rows in read for batch in rows]
    if not batches:
        raise ListingError(f"{files[0].shown} has no animation, such as NAME.gif with NAME.txt or NAME.json beside it")
    return digest, batches


def _read_tar(number: int, file: ListedFile, config: CurationConfig) -> tuple[str, list[pa.RecordBatch]]:
    """Return a hash of a tar's members, and its rows. Raises ListingError."""
    if isinstance(file.source, bytes):
        raise ListingError(f"{file.shown} is a tar on the web; name a folder to keep it in by --cache")
    try:
        sha256, animations, texts = _walk(file.source, config)
    except ArchiveError as error:
        raise ListingError(str(error)) from error
    # In Arrow's memory before the next tar is listed: objects would take several times as much.
    samples = (texts.describe(entry, f"{number}:{entry.place}") for entry in animations)
    return sha256, list(make_batches(samples, config.keep_columns))


def _walk(archive: Location, config: CurationConfig) -> tuple[str, list[Entry], Texts]:
    digest, animations, texts = hashlib.sha256(), [], Texts(config)
    with open_tar(archive) as opened:
        for entry in list_tar(opened):
            digest.update(f"{entry.name}\0{entry.place}\0".encode())
            if Texts.is_text(entry):
                digest.update(texts.add(entry, lambda entry: read_text(opened, entry)))
            elif entry.name.lower().endswith(ANIMATIONS):
                animations.append(entry)
    return digest.hexdigest(), animations, texts
