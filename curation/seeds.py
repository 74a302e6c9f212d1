"""Seeded choices that depend on names alone: the same in any order, on any machine, with any number of workers."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.splitmix import GAMMA, mix64


def hash64(seed: int, *words: object) -> int:
    """Hash a seed and some words to 64 bits, spread evenly."""
    text = "\0".join(map(str, (seed, *words)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def uniform(seed: int, *words: object) -> float:
    """Draw a number in [0, 1) by seed and words."""
    return (hash64(seed, *words) >> 11) / 2**53


def clip_seed(seed: int, clip_key: str) -> int:
    """Draw where a clip's ranks begin, 64 bits."""
    return hash64(seed, "pair", clip_key)


def rank_pairs(
    states: NDArray[np.uint64] | np.uint64, sources: NDArray[Any], targets: NDArray[Any]
) -> NDArray[np.uint64]:
    """Give pairs of any clips their ranks, uint64 [P]; `states` are their clips', [P], or one for all.

    Drawn by seed, clip and the pair's own indices alone.
    SplitMix64 over a counter made of the two indices: as good as hashing each pair's name, at the speed of an array
    operation. Ranks within a clip are distinct.
    """
    state = (sources.astype(np.uint64) << np.uint64(32)) | targets.astype(np.uint64)
    with np.errstate(over="ignore"):
        state *= GAMMA
        state += states
    return mix64(state)
