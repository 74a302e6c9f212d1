"""Locations -> bytes within reach of every worker, or the reason in words why there are none.

All fetching is done in one place, the process that runs the stages, before anything is measured (`stage.py`): only so
do the limits for a host hold over the whole run. What arrives lies in a cache (`cache.py`); workers read it there.
"""

from curation.fetch.errors import FetchError, TooManyBytesError
from curation.fetch.read import fetch_bytes

__all__ = ["FetchError", "TooManyBytesError", "fetch_bytes"]
