"""Counting and drawing over whole columns give what a loop over clips gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.config import CurationConfig
from curation.selection.pair_counts import bin_edges, count_pairs, lowest_ranked
from tests.curation.selection.helpers import write_flow


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(0, 400))
def test_the_lowest_ranks_of_each_group_are_found_among_those_worth_sorting(seed, num_groups, num_rows):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, num_groups, num_rows)
    ranks = rng.integers(0, 2**64, num_rows, dtype=np.uint64)
    if seed % 3 == 0:
        ranks |= np.uint64(1 << 63)  # Not spread at all: then nothing may be dropped that is wanted.
    num_wanted = rng.integers(0, 6, num_groups)
    expected = set()
    for group in range(num_groups):
        rows = np.flatnonzero(groups == group)
        expected |= set(rows[np.argsort(ranks[rows], kind="stable")][: num_wanted[group]].tolist())
    found = lowest_ranked(ranks, groups, num_wanted).tolist()
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_counts_are_by_clip_and_bin_and_bins_that_are_empty_take_no_room(tmp_path):
    parts = [write_flow(tmp_path, {"a": [2.0, 2.5, 19.0, 1.9], "b": [20.0], "other": [3.0]})]
    parts += [write_flow(tmp_path, {"c": [0.0, 400.0]})]
    tally = count_pairs(parts, ["b", "a", "c"], CurationConfig(pairs_per_gif=2))
    assert tally.keys == ("b", "a", "c")
    assert tally.bins.tolist() == [0, 17]
    assert tally.in_range.tolist() == [[0, 1], [2, 1], [0, 0]]
    assert tally.drawn.sum(axis=1).tolist() == [1, 2, 0]
    assert tally.spread(tally.in_range.sum(axis=0)) == (2, *[0] * 16, 2)


def test_no_part_and_no_clip_count_nothing(tmp_path):
    assert count_pairs([], ["a"], CurationConfig()).in_range.shape == (1, 0)
    assert count_pairs([write_flow(tmp_path, {"a": [3.0]})], [], CurationConfig()).in_range.shape == (0, 0)


@pytest.mark.parametrize(("low", "high", "edges"), [(2, 4, (2, 3, 4)), (1.5, 2.1, (1, 2, 3))])
def test_bins_begin_at_whole_pixels(low, high, edges):
    assert bin_edges(CurationConfig(min_motion=low, max_motion=high)) == edges
