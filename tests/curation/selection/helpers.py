"""Flow tables and signatures for the tests of selection."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

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
