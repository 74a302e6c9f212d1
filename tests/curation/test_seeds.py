"""Hashes, draws and ranks depend only on seed and names, and are evenly distributed."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curation.seeds import derive_clip_seed, rank_pairs
from shards.seeded_hash import hash64, uniform
from tests.strategies import clip_keys


def pair_ranks(seed: int, key: str, sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Rank the pairs of one clip."""
    return rank_pairs(np.uint64(derive_clip_seed(seed, key)), sources, targets)


@given(st.integers(0, 2**63 - 1), st.text())
def test_hash_has_64_bits_and_draw_is_below_1(seed: int, word: str) -> None:
    assert 0 <= hash64(seed, word) < 2**64
    assert 0 <= uniform(seed, word) < 1


def test_values_are_fixed() -> None:
    assert hash64(0, "split", "a") == 4444141876447179425
    assert uniform(7, "offset", "clip") == 0.2960837410385606
    ranks = pair_ranks(0, "a", np.array([0, 1]), np.array([2, 3]))
    assert ranks.tolist() == [8272678067998745596, 18236142381634776035]


def test_hash_depends_on_seed_and_on_each_word() -> None:
    hashes = [hash64(0, "ab", "c"), hash64(0, "a", "bc"), hash64(0, "abc"), hash64(1, "ab", "c"), hash64(0, "c", "ab")]
    assert len(set(hashes)) == 5


def test_draws_are_evenly_distributed() -> None:
    draws = [uniform(0, "split", f"clip-{number}") for number in range(10_000)]
    counts, _ = np.histogram(draws, bins=10, range=(0, 1))
    assert counts.min() > 850
    assert counts.max() < 1150


@given(st.integers(0, 2**63 - 1), clip_keys, st.permutations(list(itertools.combinations(range(6), 2))))
def test_rank_depends_only_on_the_pair(seed: int, key: str, pairs: list[tuple[int, int]]) -> None:
    sources, targets = np.array(pairs, dtype=np.int32).T
    together = pair_ranks(seed, key, sources, targets)
    alone = [int(pair_ranks(seed, key, sources[k : k + 1], targets[k : k + 1])[0]) for k in range(len(pairs))]
    assert together.dtype == np.uint64
    assert together.tolist() == alone


def test_ranks_are_distinct_and_independent_of_the_frames() -> None:
    sources, targets = np.triu_indices(200, k=1)
    ranks = pair_ranks(0, "clip", sources, targets)
    assert len(np.unique(ranks)) == len(ranks)
    first = np.argsort(ranks)[: len(ranks) // 4]
    assert abs(sources[first].mean() - sources.mean()) < 2
    assert abs(targets[first].mean() - targets.mean()) < 2


def test_ranks_depend_on_seed_and_clip() -> None:
    sources, targets = np.triu_indices(20, k=1)
    orders = {tuple(np.argsort(pair_ranks(seed, key, sources, targets))) for seed in (0, 1) for key in ("a", "b")}
    assert len(orders) == 4


def test_clips_ranked_together_have_the_same_ranks_as_alone() -> None:
    sources, targets = (index.astype(np.int32) for index in np.triu_indices(9, k=1))
    states = np.array([derive_clip_seed(4, key) for key in ("a", "b")], dtype=np.uint64)
    together = rank_pairs(np.repeat(states, len(sources)), np.tile(sources, 2), np.tile(targets, 2))
    assert np.array_equal(together, np.concatenate([pair_ranks(4, key, sources, targets) for key in ("a", "b")]))
