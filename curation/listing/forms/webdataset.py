"""WebDataset tars as a listing: their members are animations, each with a .txt or .json that holds its caption."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from curation.archives.entry import Entry
from curation.archives.errors import ArchiveError
from curation.archives.location import TAR, Archive, Archives
from curation.archives.tars import list_tar, open_tar, read_text
from curation.config import CurationConfig
from curation.errors import ListingError
from curation.listing.forms.samples import ANIMATIONS, Sample, Texts
from curation.listing.listed import ListedFile, digest_parts
from shards.storage.location import Location

_MAX_THREADS = 16
"""Tars that are listed at once."""


def read_tars(files: Sequence[ListedFile], archives: Archives, config: CurationConfig) -> tuple[str, Iterator[Sample]]:
    """Return the hash of tars, of their members' names, sizes and captions, and their samples. Raises ListingError."""
    with ThreadPoolExecutor(_MAX_THREADS) as threads:
        read = list(threads.map(lambda file: _read_tar(file, config), files))
    digest = digest_parts((file.name, sha256) for file, (sha256, _, _) in zip(files, read, strict=True))
    return digest, _list_samples(files, [(entries, texts) for _, entries, texts in read], archives)


def _list_samples(
    files: Sequence[ListedFile], read: list[tuple[list[Entry], Texts]], archives: Archives
) -> Iterator[Sample]:
    for file in files:
        entries, texts = read.pop(0)  # So that it is not in memory when the next is in a table.
        number = archives.add(Archive(kind=TAR, location=str(file.source)))
        for entry in entries:
            yield texts.describe(entry, f"{number}:{entry.place}")


def _read_tar(file: ListedFile, config: CurationConfig) -> tuple[str, list[Entry], Texts]:
    """Return a hash of a tar's members, its animations and its captions."""
    if isinstance(file.source, bytes):
        raise ListingError(f"{file.shown} is a tar on the web; name a folder to keep it in by --cache")
    try:
        return _walk(file.source, config)
    except ArchiveError as error:
        raise ListingError(str(error)) from error


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
