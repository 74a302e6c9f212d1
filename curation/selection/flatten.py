"""Counts by clip and bin -> how many pairs each clip gives to each bin, the totals as near a target as caps allow.

The totals that can be reached under the clips' caps form the bases of a polymatroid, so no search gets stuck in it:
where no single pick can be moved for the better, through chains of clips, the totals are the best there are. For a
flat target they are then majorised by all others, so they have the greatest entropy and the least variance at once
(docs/selection.md has the argument). The state is one row of counts a clip.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.integer]
"""[clips, bins]."""

_ROUNDING = 1e-12
_CLIPS_AT_A_TIME = 65_536


def flatten_histogram(quotas: Counts, available: Counts, weights: Sequence[float] | None = None) -> Counts:
    """Move picks between bins, clip by clip, until the totals by bin are as near the weights as they can be.

    `quotas` and `available` are [clips, bins]; picks of a clip stay as many as they are, and at most `available` in
    each bin. `weights`, one a bin, positive, are the target's shares; without them it is flat. The least sum of
    total^2 / weight is reached exactly (Fujishige, 1980: the lexicographically optimal base). Earlier clips are moved
    first.
    """
    quotas = quotas.copy()
    shares = np.ones(quotas.shape[1]) if weights is None else np.array(weights)
    movable = _count_movable(quotas, available)
    while True:
        totals = quotas.sum(axis=0)
        chain = _steepest_chain(totals, movable, shares)
        if chain is None:
            return quotas
        steps = list(itertools.pairwise(chain))
        num_moved = min(_num_better(totals, shares, chain), *(int(movable[step]) for step in steps))
        for start, end in steps:
            clips = np.flatnonzero((quotas[:, start] > 0) & (quotas[:, end] < available[:, end]))[:num_moved]
            # What the moved clips can do is taken out and put in again: all the others need not be looked at.
            movable -= _count_movable(quotas[clips], available[clips])
            quotas[clips, start] -= 1
            quotas[clips, end] += 1
            movable += _count_movable(quotas[clips], available[clips])


def flatness_of(counts: NDArray[np.integer]) -> float | None:
    """Tell a histogram's entropy over the greatest that it could have, in [0, 1]; None where that says nothing."""
    if counts.sum() == 0 or counts.size == 1:
        return None
    share = counts[counts > 0] / counts.sum()
    return max(0.0, float(-(share * np.log(share)).sum() / np.log(len(counts))))


def _count_movable(quotas: Counts, available: Counts) -> NDArray[np.float32]:
    """Count the clips that can move a pick from one bin to another, [bins, bins]; whole below 2^24 clips."""
    movable = np.zeros((quotas.shape[1],) * 2, dtype=np.float32)
    for first in range(0, len(quotas), _CLIPS_AT_A_TIME):
        some = slice(first, first + _CLIPS_AT_A_TIME)
        movable += (quotas[some] > 0).T.astype(np.float32) @ (quotas[some] < available[some]).astype(np.float32)
    return movable


def _num_better(totals: Counts, shares: NDArray[np.float64], chain: list[int]) -> int:
    """Count the picks that can go from a chain's start to its end, each of them for the better."""
    start, end = chain[0], chain[-1]
    per_pick = 1 / shares[start] + 1 / shares[end]
    gap = totals[start] / shares[start] - totals[end] / shares[end]
    return max(1, int(np.ceil(gap / per_pick + 0.5)) - 1)


def _steepest_chain(totals: Counts, movable: NDArray[np.float32], shares: NDArray[np.float64]) -> list[int] | None:
    """Find a shortest chain between the two bins that gain most of those that one joins; None where none gains.

    One pick from a to b changes the sum of total^2 / weight by 2 (total_b + 1/2) / weight_b - 2 (total_a - 1/2) /
    weight_a.
    """
    saved, spent = (totals - 0.5) / shares, (totals + 0.5) / shares
    best: list[int] | None = None
    best_gain = 0.0
    for start in np.argsort(-saved, kind="stable"):
        if saved[start] - spent.min() <= best_gain:
            break
        came_from = {int(start): -1}
        queue = [int(start)]
        for bin_ in queue:
            for end in np.flatnonzero(movable[bin_] > 0).tolist():
                if end not in came_from:
                    came_from[end] = bin_
                    queue.append(end)
        lightest = min(queue, key=lambda bin_: (spent[bin_], bin_))
        # A gain that may be rounding alone is none: a pick could go to and fro for ever.
        if saved[start] - spent[lightest] > max(best_gain, _ROUNDING * abs(saved[start])):
            best_gain = float(saved[start] - spent[lightest])
            best = [lightest]
            while came_from[best[0]] >= 0:
                best.insert(0, came_from[best[0]])
    return best
