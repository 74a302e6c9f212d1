"""Counts of pairs by clip and bin, and the draw of pairs with the lowest ranks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.config import CurationConfig
from curation.selection.pair_counts import compute_bin_edges, count_pairs, find_lowest_ranked
from tests.curation.selection.helpers import write_flow


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(0, 400))
def test_lowest_ranks_equal_those_of_a_full_sort(seed, num_groups, num_rows):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, num_groups, num_rows)
    ranks = rng.integers(0, 2**64, num_rows, dtype=np.uint64)
    if seed % 3 == 0:
        ranks |= np.uint64(1 << 63)  # No longer uniform: the threshold alone would leave too few.
    num_wanted = rng.integers(0, 6, num_groups)
    expected = set()
    for group in range(num_groups):
        rows = np.flatnonzero(groups == group)
        expected |= set(rows[np.argsort(ranks[rows], kind="stable")][: num_wanted[group]].tolist())
    found = find_lowest_ranked(ranks, groups, num_wanted).tolist()
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_counts_have_a_column_for_each_bin_with_pairs(tmp_path):
    parts = [write_flow(tmp_path, {"a": [2.0, 2.5, 19.0, 1.9], "b": [20.0], "other": [3.0]})]
    parts += [write_flow(tmp_path, {"c": [0.0, 400.0]})]
    counts = count_pairs(parts, ["b", "a", "c"], CurationConfig(pairs_per_gif=2))
    assert counts.clip_keys == ("b", "a", "c")
    assert counts.bins.tolist() == [0, 17]
    assert counts.in_range.tolist() == [[0, 1], [2, 1], [0, 0]]
    assert counts.drawn.sum(axis=1).tolist() == [1, 2, 0]
    assert counts.expand(counts.in_range.sum(axis=0)) == (2, *[0] * 16, 2)


def test_without_parts_or_clips_counts_are_empty(tmp_path):
    assert count_pairs([], ["a"], CurationConfig()).in_range.shape == (1, 0)
    assert count_pairs([write_flow(tmp_path, {"a": [3.0]})], [], CurationConfig()).in_range.shape == (0, 0)


@pytest.mark.parametrize(("low", "high", "edges"), [(2, 4, (2, 3, 4)), (1.5, 2.1, (1, 2, 3))])
def test_bin_edges_are_whole_pixels(low, high, edges):
    assert compute_bin_edges(CurationConfig(min_motion=low, max_motion=high)) == edges
