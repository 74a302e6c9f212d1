"""Split an iterable into batches."""

import itertools
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def in_batches(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    """Yield tuples of `size` items, the last one possibly shorter. Reads no item before its batch."""
    iterator = iter(items)
    while batch := tuple(itertools.islice(iterator, size)):
        yield batch
