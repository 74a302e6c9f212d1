"""Measurement results of every clip: one column per field, indexed by clip number."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from curation.decode.probe_results import DIGEST_BYTES, Verdicts
from curation.flow.table import Measurement
from curation.listing.clips import Clips


class Measured:
    """What measuring the clips of a listing found out, but for the rows of the flow table and the fingerprints."""

    def __init__(self, clips: Clips, measurements: Iterable[Measurement] = ()) -> None:
        self.clips = clips
        self.verdicts = Verdicts(len(clips))
        self.num_frames, self.num_pairs = (np.zeros(len(clips), dtype=np.int32) for _ in range(2))
        """Sound frames, and rows of the flow table, int32 [clips]."""
        self.frames_sha256 = np.zeros(len(clips), dtype=f"V{DIGEST_BYTES}")
        """By which exact copies are found, [clips]."""
        for one in measurements:
            self.put(one)

    def put(self, one: Measurement) -> None:
        """Enter what is known of a clip, in place of what was."""
        number = self.clips.number(one.clip_key)
        self.verdicts.put(number, one.verdict, one.detail)
        self.num_frames[number] = one.num_frames
        self.num_pairs[number] = one.num_pairs
        self.frames_sha256[number] = bytes.fromhex(one.frames_sha256 or "00")

    @property
    def usable(self) -> NDArray[np.int64]:
        """Numbers of the clips that can be selected from, ascending."""
        return self.verdicts.among(None)
