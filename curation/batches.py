"""Many things -> some at a time."""

import itertools
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def in_batches(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    """Yield `size` items at a time, and what is left at the end."""
    waiting = iter(items)
    while batch := tuple(itertools.islice(waiting, size)):
        yield batch
