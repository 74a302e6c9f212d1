"""Flattening reaches the optimum and keeps within the caps."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.selection.flatten import flatten_histogram
from tests.curation.selection.helpers import best_entropy, entropy


def first_pairs(available: np.ndarray, caps: np.ndarray) -> np.ndarray:
    """Choose the first pairs of each clip, which is far from flat."""
    before = np.cumsum(available, axis=1) - available
    return np.clip(caps[:, None] - before, 0, available)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 8), st.integers(1, 12))
def test_entropy_equals_that_of_an_independent_solver(seed, num_clips, num_bins, cap):
    rng = np.random.default_rng(seed)
    available = rng.poisson(rng.gamma(0.5, 4, (num_clips, num_bins)))
    available[0, 0] += 1
    caps = np.minimum(cap, available.sum(axis=1))
    quotas = flatten_histogram(first_pairs(available, caps), available)
    assert (quotas >= 0).all()
    assert (quotas <= available).all()
    assert (quotas.sum(axis=1) == caps).all()
    assert entropy(quotas.sum(axis=0)) == pytest.approx(best_entropy(available, caps), abs=1e-6)


def test_picks_move_through_a_chain_of_clips():
    # A pick gets from bin 0 to bin 2 only through bin 1, with the help of two clips.
    available = np.array([[3, 3, 0], [0, 3, 3]])
    quotas = flatten_histogram(np.array([[3, 0, 0], [0, 3, 0]]), available)
    assert quotas.sum(axis=0).tolist() == [2, 2, 2]


def reachable_totals(available: np.ndarray, caps: np.ndarray) -> set[tuple[int, ...]]:
    """Return the totals by bin of all possible choices, by brute force."""
    by_clip = [
        {picks for picks in itertools.product(*(range(n + 1) for n in row)) if sum(picks) == cap}
        for row, cap in zip(available, caps, strict=True)
    ]
    return {tuple(np.sum(choice, axis=0).tolist()) for choice in itertools.product(*by_clip)}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_with_a_target_the_result_is_the_best_of_all_choices(seed):
    rng = np.random.default_rng(seed)
    available = rng.integers(0, 3, (4, 3))
    caps = np.minimum(3, available.sum(axis=1))
    weights = rng.uniform(0.05, 1, 3) ** 2
    quotas = flatten_histogram(first_pairs(available, caps), available, weights.tolist())
    assert (quotas >= 0).all()
    assert (quotas <= available).all()
    assert (quotas.sum(axis=1) == caps).all()
    best = min((np.array(totals) ** 2 / weights).sum() for totals in reachable_totals(available, caps))
    assert (quotas.sum(axis=0) ** 2 / weights).sum() == pytest.approx(best)


def test_equal_weights_equal_the_flat_target():
    rng = np.random.default_rng(3)
    available = rng.poisson(3.0, (50, 9))
    start = first_pairs(available, np.minimum(10, available.sum(axis=1)))
    assert np.array_equal(flatten_histogram(start, available), flatten_histogram(start, available, [0.125] * 9))
