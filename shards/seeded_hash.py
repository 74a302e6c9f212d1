"""A hash of a seed and some words, for random choices that are the same in any order and on any machine."""

import hashlib


def hash64(seed: int, *words: object) -> int:
    """Return a uniformly distributed 64-bit hash of a seed and some words."""
    text = "\0".join(map(str, (seed, *words)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def uniform(seed: int, *words: object) -> float:
    """Return a number in [0, 1), determined by a seed and some words."""
    return (hash64(seed, *words) >> 11) / 2**53
