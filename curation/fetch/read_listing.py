"""Read the listing, from disk, from an object store or from the web."""

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from curation.config import CurationConfig
from curation.errors import ListingError
from curation.fetch.cache import open_cache
from curation.fetch.errors import FetchError, TooManyBytesError
from curation.fetch.stage import run_downloads
from curation.listing.forms.read import read_files
from curation.listing.listed import ListedFile, Listing
from curation.listing.names import base_folder
from curation.listing.sources import expand_pattern, list_files
from curation.options import FetchOptions, RunOptions
from shards.errors import StoreError
from shards.storage.location import Location, ObjectPath
from shards.storage.object_stores import is_object

MAX_LISTING_BYTES = 4 * 2**30
MAX_ARCHIVE_BYTES = 2**40
_ARCHIVE_TIMEOUT_S = 6 * 3600.0
_ARCHIVES = (".tar", ".parquet")
"""Extensions of what is kept in the cache, because workers read parts of it."""


def read_listing(options: RunOptions, config: CurationConfig | None = None) -> Listing:
    """Return the listing that the options name. Raises ListingError."""
    files: Sequence[ListedFile] = []
    if isinstance(options.listing, Path) or is_object(options.listing):
        files = list_files(options.listing)
    else:
        files = list(_fetch_files(options.listing, options.fetch))
    return read_files(files, config or CurationConfig())


def _fetch_files(listing: str, options: FetchOptions) -> Iterator[ListedFile]:
    """Download the files of a listing on the web."""
    base = base_folder(listing)
    for url in expand_pattern(listing):
        name = url.partition("?")[0].removeprefix(base).lstrip("/")
        if not name.lower().endswith(_ARCHIVES):
            yield ListedFile(name=name, source=_fetch(url, options), shown=url)
            continue
        if options.cache is None:
            raise ListingError(
                f"{url} is downloaded whole, because workers read parts of it; name a folder to keep it in by --cache"
            )
        yield ListedFile(name=name, source=_fetch_into_cache(url, options), shown=url)


def _fetch(url: str, options: FetchOptions) -> bytes:
    with tempfile.TemporaryDirectory(prefix="pix2gif-") as folder:
        path = Path(folder, "listing")
        _download(url, path, options, MAX_LISTING_BYTES)
        return path.read_bytes()


def _fetch_into_cache(url: str, options: FetchOptions) -> Location:
    assert options.cache is not None  # noqa: S101 # Checked by the caller.
    try:
        cache = open_cache(options.cache)
        if (found := cache.find(url)) is None:
            folder = None if "://" in options.cache else options.cache
            if folder:
                Path(folder).mkdir(parents=True, exist_ok=True)
            # Beside the cache, so that the file is moved and not copied.
            with tempfile.TemporaryDirectory(prefix="pix2gif-", dir=folder) as temporary:
                path = Path(temporary, "archive")
                sha256 = _download(url, path, _with_patience(options), MAX_ARCHIVE_BYTES)
                found = cache.add(url, path, sha256)
    except (OSError, StoreError) as error:
        raise ListingError(f"the cache {options.cache} cannot be used: {error}") from error
    return ObjectPath(found) if "://" in found else Path(found)


def _with_patience(options: FetchOptions) -> FetchOptions:
    """Return the options with a time limit for gigabytes: that of a GIF is a minute."""
    return dataclasses.replace(options, fetch_timeout=max(options.fetch_timeout, _ARCHIVE_TIMEOUT_S))


def _download(url: str, path: Path, options: FetchOptions, max_bytes: int) -> str:
    """Write the bytes of a URL to a file, with the rate limits and the address guard of GIFs; return their SHA-256."""
    try:
        return run_downloads(lambda downloads: downloads.download(url, path), options, max_bytes)
    except (FetchError, TooManyBytesError) as error:
        raise ListingError(f"cannot fetch the listing {url}: {error}") from error
