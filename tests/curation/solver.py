"""The flattest histogram that any choice under the caps has, by a solver that shares nothing with the project."""

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import lil_matrix


def entropy(totals: np.ndarray) -> float:
    share = totals[totals > 0] / totals.sum()
    return float(-(share * np.log(share)).sum())


def best_entropy(available: np.ndarray, caps: np.ndarray) -> float:
    """The greatest entropy any choice can reach: a minimum-cost flow with convex costs, by an LP solver.

    Each clip sends min(cap, its pairs) units to its bins; the k-th unit in a bin costs k log k - (k-1) log (k-1), so
    the cost of a bin that holds t is t log t. The marginal costs grow, so units fill in order; the constraints are
    a network's, so the optimum is whole.
    """
    num_clips, num_bins = available.shape
    sent = np.minimum(caps, available.sum(axis=1))
    height = int(sent.sum())
    num_picks, num_steps = num_clips * num_bins, num_bins * height
    k = np.arange(1, height + 1, dtype=float)
    marginal = k * np.log(k) - np.where(k > 1, (k - 1) * np.log(np.maximum(k - 1, 1)), 0)
    rows = lil_matrix((num_clips + num_bins, num_picks + num_steps))
    for clip in range(num_clips):
        rows[clip, clip * num_bins : (clip + 1) * num_bins] = 1
    for bin_ in range(num_bins):
        rows[num_clips + bin_, bin_:num_picks:num_bins] = 1
        rows[num_clips + bin_, num_picks + bin_ * height : num_picks + (bin_ + 1) * height] = -1
    bounds = [(0, n) for n in available.ravel()] + [(0, 1)] * num_steps
    cost = np.concatenate([np.zeros(num_picks), np.tile(marginal, num_bins)])
    solved = linprog(cost, A_eq=rows.tocsr(), b_eq=np.concatenate([sent, np.zeros(num_bins)]), bounds=bounds)
    assert solved.success
    totals = solved.x[num_picks:].reshape(num_bins, height).sum(axis=1)
    return entropy(totals)
