"""A sequence of signatures in one array returns what was put in."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curation.selection.signatures import Signatures


@given(st.lists(st.integers(0, 4), max_size=6), st.randoms())
def test_items_and_selections_equal_the_input(lengths, random):
    rng = np.random.default_rng(len(lengths))
    signatures = [rng.integers(0, 2**63, (length, 3), dtype=np.uint64) for length in lengths]
    joined = Signatures.join(signatures)
    assert [signature.tolist() for signature in joined] == [signature.tolist() for signature in signatures]
    indices = random.sample(range(len(signatures)), k=len(signatures) // 2)
    taken = joined.take(np.array(indices, int))
    assert [signature.tolist() for signature in taken] == [signatures[index].tolist() for index in indices]
