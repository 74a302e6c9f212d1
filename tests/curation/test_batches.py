"""Batches contain every item in order, and are read lazily."""

from hypothesis import given
from hypothesis import strategies as st

from curation.batches import in_batches


@given(st.lists(st.integers()), st.integers(1, 9))
def test_batches_contain_every_item_in_order(items: list[int], size: int) -> None:
    batches = list(in_batches(items, size))
    assert [item for batch in batches for item in batch] == items
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(batches)


def test_items_are_read_with_their_batch() -> None:
    read = []
    batches = in_batches((read.append(k) or k for k in range(9)), 2)
    assert (next(batches), read) == ((0, 1), [0, 1])
