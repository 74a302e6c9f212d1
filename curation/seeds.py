"""Random choices derived from a seed and names: reproducible in any order, on any machine and number of workers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.seeded_hash import hash64
from shards.splitmix import GAMMA, mix64


def derive_clip_seed(seed: int, clip_key: str) -> int:
    """Return the 64-bit seed of a clip's pair ranks."""
    return hash64(seed, "pair", clip_key)


def rank_pairs(
    clip_seeds: NDArray[np.uint64] | np.uint64, sources: NDArray[Any], targets: NDArray[Any]
) -> NDArray[np.uint64]:
    """Return a pseudo-random rank for each pair, uint64 [P]; ranks within a clip are distinct.

    clip_seeds: uint64 [P], or one seed for all. sources, targets: frame indices, [P]. A rank is SplitMix64 of the
    clip's seed and a counter made of the two indices, so it depends on the pair alone.
    """
    state = (sources.astype(np.uint64) << np.uint64(32)) | targets.astype(np.uint64)
    with np.errstate(over="ignore"):
        state *= GAMMA
        state += clip_seeds
    return mix64(state)
