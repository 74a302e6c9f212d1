"""Measurement results of every clip: one column per field, indexed by clip number."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from curation.decode.probe_results import DIGEST_BYTES, Verdicts
from curation.flow.table import Measurement
from curation.listing.clips import Clips


class MeasureResults:
    """Measurements of a listing's clips, without the flow table's rows and the near-duplicate signatures."""

    def __init__(self, clips: Clips, measurements: Iterable[Measurement] = ()) -> None:
        self.clips = clips
        self.verdicts = Verdicts(len(clips))
        self.num_frames, self.num_pairs = (np.zeros(len(clips), dtype=np.int32) for _ in range(2))
        """Decoded frames and flow-table rows of each clip, int32 [clips]."""
        self.frames_sha256 = np.zeros(len(clips), dtype=f"V{DIGEST_BYTES}")
        """Digest of each clip's frames, [clips]. Exact duplicates have the same."""
        for measurement in measurements:
            self.record(measurement)

    def record(self, measurement: Measurement) -> None:
        """Set the result of a clip, replacing an earlier one."""
        number = self.clips.number(measurement.clip_key)
        self.verdicts.record(number, measurement.verdict, measurement.detail)
        self.num_frames[number] = measurement.num_frames
        self.num_pairs[number] = measurement.num_pairs
        self.frames_sha256[number] = bytes.fromhex(measurement.frames_sha256 or "00")

    @property
    def usable(self) -> NDArray[np.int64]:
        """Numbers of the clips that pairs can be selected from, ascending."""
        return self.verdicts.find(None)
