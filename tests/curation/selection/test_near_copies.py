import hashlib
from typing import NamedTuple

import numpy as np
import pytest

from curation.selection import near_copies as copies
from curation.selection.near_copies import Prints, find_copies, measure_distance
from curation.selection.signatures import Signatures
from examples.draw_scenes import LEAKS, film, to_arrays
from shards.schema import SPLITS
from tests.curation.decode.test_fingerprint import take_fingerprint


def find_near_copies(signatures, max_distance, groups=None):
    return copies.find_near_copies(Signatures.join(signatures), max_distance, groups)


@pytest.fixture(params=["compiled", "whole columns"])
def way(request, monkeypatch):
    """Each of the two ways to search, whatever the number of clips."""
    monkeypatch.setattr(copies, "_WORTH_COMPILING", 0 if request.param == "compiled" else 10**9)


class Print(NamedTuple):
    key: str
    row: int
    split: str
    digest: str
    signature: np.ndarray


def make_print(key, row, split="train", digest=None, signature=None):
    if signature is None:
        signature = np.random.default_rng(row).integers(0, 2**63, (16, 3), dtype=np.uint64)
    return Print(key, row, split, digest or key, signature)


def in_columns(prints):
    return Prints(
        clip_keys=[one.key for one in prints],
        splits=np.array([SPLITS.index(one.split) for one in prints], np.int8),
        rows=np.array([one.row for one in prints], np.int32),
        digests=np.array([hashlib.sha256(one.digest.encode()).digest() for one in prints], "V32"),
        signatures=Signatures.join(one.signature for one in prints),
    )


def copies_of(prints, **options):
    found = find_copies(in_columns(prints), **{"near_distance": 10, "has_official_splits": False, **options})
    return {key: copy.original for key, copy in found.items()}


def test_of_exact_copies_the_first_row_stays():
    prints = [make_print("c", 3, digest="x"), make_print("a", 1, digest="x"), make_print("b", 2, digest="x")]
    assert copies_of(prints) == {"b": "a", "c": "a"}
    assert copies_of(prints[::-1]) == {"b": "a", "c": "a"}


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_of_official_splits_train_loses_its_copy(held_out):
    prints = [make_print("a", 1, "train", "x"), make_print("b", 2, held_out, "x")]
    assert copies_of(prints, has_official_splits=True) == {"a": "b"}
    assert copies_of(prints) == {"b": "a"}


def test_near_copies_may_stay_in_one_split_but_not_in_two():
    signature = make_print("a", 1).signature
    nearly = signature ^ np.uint64(0b1011)
    assert copies_of([make_print("a", 1, signature=signature), make_print("b", 2, signature=nearly)]) == {}
    prints = [make_print("a", 1, signature=signature), make_print("b", 2, "val", signature=nearly)]
    assert copies_of(prints) == {"b": "a"}
    assert find_copies(in_columns(prints), near_distance=10, has_official_splits=False)["b"].distance == 3
    assert copies_of(prints, has_official_splits=True) == {"a": "b"}
    assert copies_of(prints, near_distance=2) == {}
    assert copies_of(prints, near_distance=0) == {}


def test_what_was_left_out_leaves_nobody_else_out():
    one = make_print("a", 1).signature
    two, three = one ^ np.uint64(0xFF), one ^ np.uint64(0xFFFF)
    prints = [make_print("a", 1, "val", signature=one), make_print("b", 2, signature=two)]
    prints.append(make_print("c", 3, "val", signature=three))
    assert copies_of(prints) == {"b": "a"}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("leak", LEAKS)
def test_what_was_done_to_a_copy_does_not_hide_it(leak):
    clips = {seed: film(seed, 16, 1.5) for seed in range(6)}
    signatures = [take_fingerprint(to_arrays(frames)).signature for frames in clips.values()]
    signatures += [take_fingerprint(to_arrays(LEAKS[leak](frames))).signature for frames in clips.values()]
    assert set(find_near_copies(signatures, 10)) == {(seed, seed + 6) for seed in range(6)}


@pytest.mark.usefixtures("way")
def test_near_copies_are_found_among_many_as_by_comparing_all():
    rng = np.random.default_rng(0)
    signatures = [rng.integers(0, 2**63, (4, 3), dtype=np.uint64) for _ in range(60)]
    signatures += [signature ^ np.uint64(0b1001) for signature in signatures[:20]]
    all_pairs = {
        (i, j): measure_distance(signatures[i], signatures[j]) for i in range(80) for j in range(i + 1, 80)
    }  # fmt: skip
    near = {pair: bits for pair, bits in all_pairs.items() if bits <= 8}
    assert find_near_copies(signatures, 8) == near
    groups = np.arange(80) % 3
    assert find_near_copies(signatures, 8, groups) == {
        (i, j): bits for (i, j), bits in near.items() if groups[i] != groups[j]
    }


def test_both_ways_find_the_same_in_crowded_buckets(monkeypatch):
    rng = np.random.default_rng(0)
    common = rng.integers(0, 2**63, 3, dtype=np.uint64)
    rare = [np.uint64(1) << rng.integers(0, 64, (rng.integers(0, 17), 3, 4), dtype=np.uint64) for _ in range(450)]
    signatures = [common[rng.integers(0, 3, (len(bits), 3))] ^ np.bitwise_or.reduce(bits, axis=-1) for bits in rare]
    found = []
    for worth_compiling in (0, 10**9):
        monkeypatch.setattr(copies, "_WORTH_COMPILING", worth_compiling)
        found.append(find_near_copies(signatures, 6, np.arange(450) % 2))
    assert found[0] == found[1]
    assert len(found[0]) > 30_000


def test_clips_without_texture_are_nobodys_copies():
    empty = np.empty((0, 3), np.uint64)
    assert measure_distance(empty, empty) == 64
    assert find_near_copies([empty, empty], 10) == {}
    assert find_near_copies([], 10) == {}
