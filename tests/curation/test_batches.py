"""Batches hold everything, in order, and take no more than was asked for."""

from hypothesis import given
from hypothesis import strategies as st

from curation.batches import in_batches


@given(st.lists(st.integers()), st.integers(1, 9))
def test_batches_joined_are_what_went_in(items: list[int], size: int) -> None:
    batches = list(in_batches(items, size))
    assert [item for batch in batches for item in batch] == items
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(batches)


def test_nothing_is_taken_ahead() -> None:
    taken = []
    batches = in_batches((taken.append(k) or k for k in range(9)), 2)
    assert (next(batches), taken) == ((0, 1), [0, 1])
