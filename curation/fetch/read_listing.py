"""Read the listing, from disk, from an object store or from the web."""

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from curation.config import CurationConfig
from curation.errors import ListingError
from curation.fetch.cache import open_cache
from curation.fetch.errors import FetchError, OptedOutError, TooManyBytesError
from curation.fetch.opt_outs import OptOutRules
from curation.fetch.stage import run_downloads
from curation.listing.forms.read import read_files
from curation.listing.listed import ListedFile, Listing
from curation.listing.names import base_folder
from curation.listing.sources import expand_pattern, list_files
from curation.options import FetchOptions, RunOptions
from shards.errors import StoreError
from shards.storage.location import Location, ObjectPath
from shards.storage.object_stores import is_object

if TYPE_CHECKING:
    from curation.fetch.download import Downloaded

MAX_LISTING_BYTES = 4 * 2**30
MAX_ARCHIVE_BYTES = 2**40
_ARCHIVE_TIMEOUT_S = 6 * 3600.0
_ARCHIVES = (".tar", ".parquet")
"""Extensions of what is kept in the cache, because workers read parts of it."""


def read_listing(options: RunOptions, config: CurationConfig | None = None) -> Listing:
    """Return the listing that the options name. Raises ListingError."""
    config = config or CurationConfig()
    files: Sequence[ListedFile] = []
    if isinstance(options.listing, Path) or is_object(options.listing):
        files = list_files(options.listing)
    else:
        files = list(_fetch_files(options.listing, options.fetch, OptOutRules.from_config(config)))
    return read_files(files, config, options.out)


def _fetch_files(listing: str, options: FetchOptions, rules: OptOutRules) -> Iterator[ListedFile]:
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
        yield ListedFile(name=name, source=_fetch_into_cache(url, options.cache, options, rules), shown=url)


def _fetch(url: str, options: FetchOptions) -> bytes:
    with tempfile.TemporaryDirectory(prefix="pix2gif-") as folder:
        path = Path(folder, "listing")
        _download(url, path, options, MAX_LISTING_BYTES, None)
        return path.read_bytes()


def _fetch_into_cache(url: str, location: str, options: FetchOptions, rules: OptOutRules) -> Location:
    """Return where the cache has an archive; download it first, if it has not."""
    # That of a GIF is a minute, and an archive has gigabytes.
    patient = dataclasses.replace(options, fetch_timeout=max(options.fetch_timeout, _ARCHIVE_TIMEOUT_S))
    try:
        cache = open_cache(location)
        if (found := cache.find(url, rules)) is None:
            folder = None if "://" in location else location
            if folder:
                Path(folder).mkdir(parents=True, exist_ok=True)
            # Beside the cache, so that the file is moved and not copied.
            with tempfile.TemporaryDirectory(prefix="pix2gif-", dir=folder) as temporary:
                path = Path(temporary, "archive")
                got = _download(url, path, patient, MAX_ARCHIVE_BYTES, rules)
                found = cache.add(url, path, got.sha256, got.opt_out)
    except OptedOutError as error:
        raise ListingError(
            f"the owner of {url} asks not to be trained on ({error}); --ignore-opt-outs reads it all the same"
        ) from error
    except (OSError, StoreError) as error:
        raise ListingError(f"the cache {location} cannot be used: {error}") from error
    return ObjectPath(found) if "://" in found else Path(found)


def _download(url: str, path: Path, options: FetchOptions, max_bytes: int, rules: OptOutRules | None) -> "Downloaded":
    """Write the bytes of a URL to a file, with the rate limits and the address guard that GIFs have."""
    try:
        return run_downloads(lambda downloads: downloads.download(url, path), options, max_bytes, rules)
    except (FetchError, TooManyBytesError) as error:
        raise ListingError(f"cannot fetch the listing {url}: {error}") from error
