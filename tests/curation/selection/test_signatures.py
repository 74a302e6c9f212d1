"""Signatures in one array are those that were put in, whichever are taken and in which order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curation.selection.signatures import Signatures


@given(st.lists(st.integers(0, 4), max_size=6), st.randoms())
def test_what_is_taken_is_what_was_put_in(lengths, random):
    rng = np.random.default_rng(len(lengths))
    each = [rng.integers(0, 2**63, (length, 3), dtype=np.uint64) for length in lengths]
    joined = Signatures.join(each)
    assert [one.tolist() for one in joined] == [one.tolist() for one in each]
    places = random.sample(range(len(each)), k=len(each) // 2)
    assert [one.tolist() for one in joined.take(np.array(places, int))] == [each[place].tolist() for place in places]
