"""Flow tables, signatures and an independent solver for the tests of selection."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_matrix

from curation.decode.fingerprint import Fingerprint
from curation.decode.thumbnail import make_thumbnail
from curation.flow.reference import to_grey
from curation.flow.table import Measurement, write_part
from shards.schema import FLOW_SCHEMA


def write_flow(folder: Path, clips: dict[str, list[float]], order: list[int] | None = None) -> Path:
    """Write a part of the flow table with these motions, for the pairs (0, 1), (0, 2) ... of each clip.

    Each clip's rows are in the given order.
    """
    tables, measurements = [], []
    for key, motions in clips.items():
        rows = order if order is not None else list(range(len(motions)))
        tables.append(
            pa.table(
                [
                    pa.array([key] * len(rows)).dictionary_encode(),
                    pa.array([0] * len(rows), pa.int32()),
                    pa.array([row + 1 for row in rows], pa.int32()),
                    pa.array([100] * len(rows), pa.int32()),
                    pa.array([motions[row] for row in rows], pa.float32()),
                    pa.array([1.0] * len(rows), pa.float32()),
                    pa.array([False] * len(rows)),
                ],
                schema=FLOW_SCHEMA,
            )
        )
        measurements.append(
            Measurement(
                clip_key=key, sha256=f"{key}{order}", verdict=None, detail=None, width=8, height=8,
                num_frames=len(motions) + 1, num_pairs=len(motions),
            )
        )  # fmt: skip
    return write_part(folder, "test", measurements, tables).path


def take_signature(frames: list[NDArray[np.uint8]]) -> NDArray[np.uint64]:
    """Compute the signature of a clip from its RGB frames."""
    fingerprint = Fingerprint()
    for rgb in frames:
        grey = to_grey(rgb)
        fingerprint.add(grey, make_thumbnail(grey, rgb))
    return fingerprint.signature


def entropy(totals: np.ndarray) -> float:
    """Return the entropy of a histogram, in nats."""
    share = totals[totals > 0] / totals.sum()
    return float(-(share * np.log(share)).sum())


def best_entropy(available: np.ndarray, caps: np.ndarray | int, max_total: int | None = None) -> float:
    """Return the greatest entropy that any choice can reach: a minimum-cost flow, solved as a linear program.

    Shares no code with the project. Each clip sends min(cap, its pairs) units to its bins; the k-th unit in a bin
    costs k log k - (k-1) log (k-1), so a bin with t units costs t log t. Marginal costs increase, so units fill in
    order; the constraints form a network, so the optimum is integral. `max_total` bounds the units of a bin, for speed.
    """
    num_clips, num_bins = available.shape
    sent = np.minimum(caps, available.sum(axis=1))
    height = int(min(sent.sum(), max_total or sent.sum()))
    picks, steps = np.arange(num_clips * num_bins), np.arange(num_bins * height)
    k = np.arange(1, height + 1, dtype=float)
    marginal = k * np.log(k) - np.where(k > 1, (k - 1) * np.log(np.maximum(k - 1, 1)), 0)
    rows = np.concatenate([picks // num_bins, num_clips + picks % num_bins, num_clips + steps // height])
    columns = np.concatenate([picks, picks, len(picks) + steps])
    values = np.concatenate([np.ones(2 * len(picks)), -np.ones(len(steps))])
    matrix = coo_matrix((values, (rows, columns)), shape=(num_clips + num_bins, len(picks) + len(steps))).tocsr()
    bounds = [(0, n) for n in available.ravel()] + [(0, 1)] * len(steps)
    cost = np.concatenate([np.zeros(len(picks)), np.tile(marginal, num_bins)])
    solved = linprog(cost, A_eq=matrix, b_eq=np.concatenate([sent, np.zeros(num_bins)]), bounds=bounds)
    assert solved.success
    return entropy(solved.x[len(picks) :].reshape(num_bins, height).sum(axis=1))
