"""Counts by clip and bin -> how many pairs each clip gives to each bin, so that the totals match a target histogram.

The totals that the clips' caps allow are the bases of a polymatroid. So a search cannot get stuck: if no single pick
can be moved for the better through a chain of clips, the totals are optimal. For a flat target they are then majorized
by all others, so they have the greatest entropy and the least variance (docs/selection.md has the proof).
"""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.integer]
"""[clips, bins]."""

_ROUNDING_ERROR = 1e-12
_CLIPS_PER_BLOCK = 65_536


def flatten_histogram(quotas: Counts, available: Counts, weights: Sequence[float] | None = None) -> Counts:
    """Move picks between bins within clips until the totals by bin are as near the weights as possible.

    `quotas` and `available` are [clips, bins]. The result has the row sums of `quotas` and is nowhere greater than
    `available`. `weights`, one positive number for each bin, is the target; None is flat. The result minimizes the sum
    of total^2 / weight (Fujishige, 1980: the lexicographically optimal base). Earlier clips are moved first.
    """
    quotas = quotas.copy()
    target = np.ones(quotas.shape[1]) if weights is None else np.array(weights)
    num_movable = _count_movable(quotas, available)
    while True:
        totals = quotas.sum(axis=0)
        chain = _find_best_chain(totals, num_movable, target)
        if chain is None:
            return quotas
        steps = list(itertools.pairwise(chain))
        num_moved = min(_count_improving_moves(totals, target, chain), *(int(num_movable[step]) for step in steps))
        for source, sink in steps:
            clips = np.flatnonzero((quotas[:, source] > 0) & (quotas[:, sink] < available[:, sink]))[:num_moved]
            # Only the moved clips are counted again.
            num_movable -= _count_movable(quotas[clips], available[clips])
            quotas[clips, source] -= 1
            quotas[clips, sink] += 1
            num_movable += _count_movable(quotas[clips], available[clips])


def compute_flatness(counts: NDArray[np.integer]) -> float | None:
    """Return a histogram's entropy relative to a uniform one, in [0, 1]; None if it is empty or has a single bin."""
    if counts.sum() == 0 or counts.size == 1:
        return None
    share = counts[counts > 0] / counts.sum()
    return max(0.0, float(-(share * np.log(share)).sum() / np.log(len(counts))))


def _count_movable(quotas: Counts, available: Counts) -> NDArray[np.float32]:
    """Count the clips that can move a pick from one bin to another, [bins, bins]; exact below 2^24 clips."""
    num_movable = np.zeros((quotas.shape[1],) * 2, dtype=np.float32)
    for start in range(0, len(quotas), _CLIPS_PER_BLOCK):
        block = slice(start, start + _CLIPS_PER_BLOCK)
        num_movable += (quotas[block] > 0).T.astype(np.float32) @ (quotas[block] < available[block]).astype(np.float32)
    return num_movable


def _count_improving_moves(totals: Counts, target: NDArray[np.float64], chain: list[int]) -> int:
    """Count the picks that improve the totals, one after the other, when moved from the chain's start to its end."""
    start, end = chain[0], chain[-1]
    per_pick = 1 / target[start] + 1 / target[end]
    gap = totals[start] / target[start] - totals[end] / target[end]
    return max(1, int(np.ceil(gap / per_pick + 0.5)) - 1)


def _find_best_chain(totals: Counts, num_movable: NDArray[np.float32], target: NDArray[np.float64]) -> list[int] | None:
    """Find a shortest chain of bins along which moving one pick improves the totals most; None if no chain does.

    Moving a pick from bin a to bin b changes the sum of total^2 / target by
    2 (total_b + 1/2) / target_b - 2 (total_a - 1/2) / target_a.
    """
    saving, cost = (totals - 0.5) / target, (totals + 0.5) / target
    best: list[int] | None = None
    best_gain = 0.0
    for start in np.argsort(-saving, kind="stable"):
        if saving[start] - cost.min() <= best_gain:
            break
        previous = {int(start): -1}
        queue = [int(start)]
        for bin_ in queue:
            for next_bin in np.flatnonzero(num_movable[bin_] > 0).tolist():
                if next_bin not in previous:
                    previous[next_bin] = bin_
                    queue.append(next_bin)
        cheapest = min(queue, key=lambda bin_: (cost[bin_], bin_))
        # A gain within the rounding error could move a pick back and forth forever.
        if saving[start] - cost[cheapest] > max(best_gain, _ROUNDING_ERROR * abs(saving[start])):
            best_gain = float(saving[start] - cost[cheapest])
            best = [cheapest]
            while previous[best[0]] >= 0:
                best.insert(0, previous[best[0]])
    return best
