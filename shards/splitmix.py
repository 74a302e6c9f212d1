"""SplitMix64 (Steele, Lea and Flood, 2014): a hash of 64-bit integers, stable across platforms and library versions."""

import numpy as np
from numpy.typing import NDArray

GAMMA = np.uint64(0x9E3779B97F4A7C15)
"""Step between the states of SplitMix64: the odd number nearest to 2^64 / golden ratio."""


def mix64(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return SplitMix64's output for each state, uint64 of any shape. A bijection; overwrites `state`."""
    with np.errstate(over="ignore"):
        state ^= state >> np.uint64(30)
        state *= np.uint64(0xBF58476D1CE4E5B9)
        state ^= state >> np.uint64(27)
        state *= np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return state
