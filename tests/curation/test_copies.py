import numpy as np
import pytest

from curation.copies import Print, find_copies, find_near_copies, measure_distance
from examples.draw_scenes import LEAKS, film, to_arrays
from tests.curation.test_fingerprint import take_fingerprint


def make_print(key, row, split="train", digest=None, signature=None):
    if signature is None:
        signature = np.random.default_rng(row).integers(0, 2**63, (16, 3), dtype=np.uint64)
    return Print(clip_key=key, row=row, split=split, digest=digest or key, signature=signature)


def copies_of(prints, **options):
    found = find_copies(prints, **{"near_distance": 10, "has_official_splits": False, **options})
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
    assert find_copies(prints, near_distance=10, has_official_splits=False)["b"].distance == 3
    assert copies_of(prints, has_official_splits=True) == {"a": "b"}
    assert copies_of(prints, near_distance=2) == {}
    assert copies_of(prints, near_distance=0) == {}


def test_what_was_left_out_leaves_nobody_else_out():
    one = make_print("a", 1).signature
    two, three = one ^ np.uint64(0xFF), one ^ np.uint64(0xFFFF)
    prints = [make_print("a", 1, "val", signature=one), make_print("b", 2, signature=two)]
    prints.append(make_print("c", 3, "val", signature=three))
    assert copies_of(prints) == {"b": "a"}


@pytest.mark.parametrize("leak", LEAKS)
def test_what_was_done_to_a_copy_does_not_hide_it(leak):
    clips = {seed: film(seed, 16, 1.5) for seed in range(6)}
    signatures = [take_fingerprint(to_arrays(frames)).signature for frames in clips.values()]
    signatures += [take_fingerprint(to_arrays(LEAKS[leak](frames))).signature for frames in clips.values()]
    assert set(find_near_copies(signatures, 10)) == {(seed, seed + 6) for seed in range(6)}


def test_near_copies_are_found_among_many_as_by_comparing_all():
    rng = np.random.default_rng(0)
    signatures = [rng.integers(0, 2**63, (4, 3), dtype=np.uint64) for _ in range(60)]
    signatures += [signature ^ np.uint64(0b1001) for signature in signatures[:20]]
    all_pairs = {
        (i, j): measure_distance(signatures[i], signatures[j]) for i in range(80) for j in range(i + 1, 80)
    }  # fmt: skip
    assert find_near_copies(signatures, 8) == {pair: bits for pair, bits in all_pairs.items() if bits <= 8}


def test_clips_without_texture_are_nobodys_copies():
    empty = np.empty((0, 3), np.uint64)
    assert measure_distance(empty, empty) == 64
    assert find_near_copies([empty, empty], 10) == {}
    assert find_near_copies([], 10) == {}
