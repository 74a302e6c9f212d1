"""Read the listing, from disk or from a URL."""

import tempfile
from pathlib import Path

from curation.errors import ListingError
from curation.fetch.errors import FetchError, TooManyBytesError
from curation.fetch.stage import run_downloads
from curation.listing.catalog import read_table
from curation.options import FetchOptions, RunOptions

MAX_LISTING_BYTES = 4 * 2**30


def read_listing(options: RunOptions) -> bytes:
    """Return the bytes of the listing that the options name. Raises ListingError."""
    if isinstance(options.listing, Path):
        return read_table(options.listing, "listing")
    return fetch_listing(options.listing, options.fetch)


def fetch_listing(url: str, options: FetchOptions) -> bytes:
    """Download a listing, with the rate limits and the address guard that GIFs have. Raises ListingError."""
    with tempfile.TemporaryDirectory(prefix="pix2gif-") as folder:
        path = Path(folder, "listing")
        try:
            run_downloads(lambda downloads: downloads.download(url, path), options, MAX_LISTING_BYTES)
        except (FetchError, TooManyBytesError) as error:
            raise ListingError(f"cannot fetch the listing {url}: {error}") from error
        return path.read_bytes()
