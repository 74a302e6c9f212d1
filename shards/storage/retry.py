"""Retries with exponential backoff.

Each remote resource has exactly one layer of retries, NUM_ATTEMPTS in total:

    http(s) read by the trainer     `retry`, in shards.storage.http_path
    http(s) GIFs of a listing       the loop in curation.fetch.download, which also obeys Retry-After
    s3://                           Arrow's client, in shards.storage.object_stores
    gs://                           Google's client, limited by time and not by attempts
"""

import itertools
import random
import time
from collections.abc import Callable
from typing import TypeVar

NUM_ATTEMPTS = 4
FIRST_PAUSE_S = 1.0
"""Longest pause after the first attempt; it doubles after each further one."""
Result = TypeVar("Result")


def pause_s(attempt: int, fraction: float) -> float:
    """Return the seconds to wait after a failed attempt, counted from 1.

    `fraction`, in [0, 1], spreads clients that fail together over half of the longest pause.
    """
    return float(FIRST_PAUSE_S * 2 ** (attempt - 1) * (0.5 + fraction / 2))


def retry(function: Callable[[], Result], transient: type[Exception]) -> Result:
    """Call a function up to NUM_ATTEMPTS times, until it returns or raises anything but `transient`."""
    for attempt in itertools.count(1):
        try:
            return function()
        except transient:
            if attempt == NUM_ATTEMPTS:
                raise
        time.sleep(pause_s(attempt, random.random()))  # noqa: S311 # Not for cryptography.
    raise AssertionError("unreachable")
