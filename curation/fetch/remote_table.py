"""The URL of a listing -> its bytes."""

import tempfile
from pathlib import Path

from curation.errors import ListingError
from curation.fetch.errors import FetchError, TooManyBytesError
from curation.fetch.stage import run_downloads
from curation.options import FetchOptions

MAX_LISTING_BYTES = 4 * 2**30


def fetch_listing(url: str, options: FetchOptions) -> bytes:
    """Fetch a listing that lies elsewhere, by the rules for GIFs. Raises ListingError."""
    with tempfile.TemporaryDirectory(prefix="pix2gif-") as folder:
        path = Path(folder, "listing")
        try:
            run_downloads(lambda downloads: downloads.download(url, path), options, MAX_LISTING_BYTES)
        except (FetchError, TooManyBytesError) as error:
            raise ListingError(f"cannot fetch the listing {url}: {error}") from error
        return path.read_bytes()
