"""Locations -> bytes that every worker can read, or the reason why there are none.

All fetching happens before any measuring, in the process that runs the stages (`stage.py`), so that per-host limits
hold over the whole run. Workers read what was fetched from the cache (`cache.py`).
"""

from curation.fetch.errors import FetchError, TooManyBytesError
from curation.fetch.read import fetch_bytes

__all__ = ["FetchError", "TooManyBytesError", "fetch_bytes"]
