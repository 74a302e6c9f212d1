"""Seed and position -> sample, flip and rank. Pure functions; specified in docs/data-order.md.

A position is the number of samples that all ranks together consumed before, over all epochs.
N: samples of the split. G: global batch. R: ranks.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from shards.splitmix import GAMMA, mix64

Positions = NDArray[np.int64]

_MASK = 2**64 - 1
# One for each thing that is drawn, so that no two draws are alike.
_SAMPLES, _SHARDS, _FLIP, _REPLACEMENT = range(4)


def mix(parts: Sequence[int], last: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash `parts` and each element of `last`, uint64 [n], to uint64 [n].

    Chains SplitMix64, one step for each part. For given parts it is a bijection of `last`.
    """
    state = np.zeros(1, dtype=np.uint64)
    for part in parts:
        state = mix64((state ^ np.uint64(part & _MASK)) + GAMMA)
    return mix64((state ^ last) + GAMMA)


def permute_epoch(
    shard_sizes: Sequence[int], *, seed: int, epoch: int, window_shards: int | None = None
) -> NDArray[np.int64]:
    """Order the samples of an epoch: int64 [N], a permutation of the global sample numbers.

    Samples are numbered through the shards in the manifest's order. Without a window they are sorted by their hash.
    With one, shards are sorted by theirs, and the samples of each `window_shards` shards of that order are sorted
    among themselves, so that no more than that many shards are in use at a time.
    """
    # No two hashes are alike (mix is one to one), so every way of sorting gives the same order.
    hashes = mix([seed, epoch, _SAMPLES], np.arange(sum(shard_sizes), dtype=np.uint64))
    if window_shards is None:
        return np.argsort(hashes)
    window_of_shard = np.empty(len(shard_sizes), dtype=np.int64)
    window_of_shard[order_shards(len(shard_sizes), seed=seed, epoch=epoch)] = (
        np.arange(len(shard_sizes)) // window_shards
    )
    return np.lexsort((hashes, np.repeat(window_of_shard, shard_sizes)))


def order_shards(num_shards: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Order the shards of an epoch, where there is a window."""
    return np.argsort(mix([seed, epoch, _SHARDS], np.arange(num_shards, dtype=np.uint64)))


class SampleOrder:
    """The order of a split's samples over all epochs. Caches the permutations of the last two epochs used."""

    def __init__(self, shard_sizes: Sequence[int], *, seed: int, window_shards: int | None = None) -> None:
        self.shard_sizes = tuple(shard_sizes)
        self.seed = seed
        self.window_shards = window_shards
        self.num_samples = sum(shard_sizes)
        self._epochs: dict[int, NDArray[np.integer]] = {}

    def samples_at(self, positions: Positions) -> NDArray[np.int64]:
        """Return the numbers of the samples at `positions`, both int64 [n]."""
        epochs, places = np.divmod(positions, self.num_samples)
        samples = np.empty(len(positions), dtype=np.int64)
        for epoch in np.unique(epochs).tolist():
            chosen = epochs == epoch
            samples[chosen] = self._epoch(epoch)[places[chosen]]
        return samples

    def _epoch(self, epoch: int) -> NDArray[np.integer]:
        if epoch not in self._epochs:
            while len(self._epochs) > 1:
                del self._epochs[min(self._epochs)]
            order = permute_epoch(self.shard_sizes, seed=self.seed, epoch=epoch, window_shards=self.window_shards)
            self._epochs[epoch] = order.astype(np.min_scalar_type(self.num_samples))
        return self._epochs[epoch]


def draw_flips(seed: int, positions: Positions) -> NDArray[np.bool_]:
    """Toss a fair coin at each position: bool [n], true where both pictures are mirrored."""
    tosses: NDArray[np.bool_] = mix([seed, _FLIP], positions.astype(np.uint64)) >> np.uint64(63) == 1
    return tosses


def draw_replacement(seed: int, position: int, attempt: int, num_samples: int) -> int:
    """Return the sample that replaces a damaged one at a position; `attempt` counts from 0."""
    return int(mix([seed, _REPLACEMENT, position], np.array([attempt], dtype=np.uint64))[0] % np.uint64(num_samples))


def divides(global_batch: int, world_size: int, micro_batch: int) -> bool:
    """Return whether every rank has the same whole number of micro-batches in a step."""
    return global_batch > 0 and global_batch % (world_size * micro_batch) == 0


def micro_batches(
    start_position: int, *, rank: int, world_size: int, global_batch: int, micro_batch: int, num_steps: int | None
) -> Iterator[Positions]:
    """Yield the positions of a rank's micro-batches, int64 [micro_batch] each, endlessly without `num_steps`.

    Step s holds the positions [start + s G, start + (s + 1) G); rank r has the r-th of its R equal runs.
    """
    share = global_batch // world_size
    for step in itertools.count() if num_steps is None else range(num_steps):
        first = start_position + step * global_batch + rank * share
        for offset in range(first, first + share, micro_batch):
            yield np.arange(offset, offset + micro_batch, dtype=np.int64)
