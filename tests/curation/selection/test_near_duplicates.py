"""The search for near-duplicates returns the same as a comparison of all pairs, and finds edited copies."""

import numpy as np
import pytest

from curation.selection.near_duplicates import find_near_duplicates
from curation.selection.signatures import Signatures, measure_distance
from examples.draw_scenes import LEAKS, film, to_arrays
from tests.curation.selection.helpers import take_signature


def compare_all_pairs(signatures, max_distance, groups=None):
    """Find near-duplicates by brute force."""
    groups = range(len(signatures)) if groups is None else groups
    distances = {
        (i, j): measure_distance(signatures[i], signatures[j])
        for i in range(len(signatures))
        for j in range(i + 1, len(signatures))
        if groups[i] != groups[j]
    }
    return {pair: distance for pair, distance in distances.items() if distance <= max_distance}


@pytest.mark.parametrize("edit", LEAKS)
def test_edited_copies_are_found(edit):
    clips = [film(seed, 16, 1.5) for seed in range(6)]
    signatures = [take_signature(to_arrays(frames)) for frames in [*clips, *map(LEAKS[edit], clips)]]
    near = find_near_duplicates(Signatures.join(signatures), 10)
    assert set(near) == {(seed, seed + 6) for seed in range(6)}


def test_result_equals_brute_force():
    rng = np.random.default_rng(0)
    signatures = [rng.integers(0, 2**63, (4, 3), dtype=np.uint64) for _ in range(60)]
    signatures += [signature ^ np.uint64(0b1001) for signature in signatures[:20]]
    near = find_near_duplicates(Signatures.join(signatures), 8)
    assert near == compare_all_pairs(signatures, 8)
    assert near.keys() == {(index, index + 60) for index in range(20)}


def test_groups_restrict_the_search_to_clips_of_different_groups():
    rng = np.random.default_rng(0)
    signatures = [rng.integers(0, 2**63, (4, 3), dtype=np.uint64) for _ in range(60)]
    signatures += [signature ^ np.uint64(0b1001) for signature in signatures[:20]]
    groups = np.arange(80) >= 70
    near = find_near_duplicates(Signatures.join(signatures), 8, groups)
    assert near == compare_all_pairs(signatures, 8, groups)
    assert near.keys() == {(index, index + 60) for index in range(10, 20)}
    assert find_near_duplicates(Signatures.join(signatures), 8, np.zeros(80)) == {}


def test_crowded_buckets_lose_few_pairs():
    rng = np.random.default_rng(0)
    common = rng.integers(0, 2**63, 3, dtype=np.uint64)
    rare = [np.uint64(1) << rng.integers(0, 64, (rng.integers(0, 17), 3, 4), dtype=np.uint64) for _ in range(450)]
    signatures = [common[rng.integers(0, 3, (len(bits), 3))] ^ np.bitwise_or.reduce(bits, axis=-1) for bits in rare]
    groups = np.arange(450) % 2
    near = find_near_duplicates(Signatures.join(signatures), 6, groups)
    expected = compare_all_pairs(signatures, 6, groups)
    assert near.items() <= expected.items()
    assert len(near) > 0.99 * len(expected) > 30_000


def test_clips_without_hashes_are_not_near_duplicates():
    empty = np.empty((0, 3), np.uint64)
    assert measure_distance(empty, empty) == 64
    assert find_near_duplicates(Signatures.join([empty, empty]), 10) == {}
    assert find_near_duplicates(Signatures.join([]), 10) == {}
