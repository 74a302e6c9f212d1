"""Signatures of clips: many in one array, which takes 300 MB for a million clips, and the distance between two."""

from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from curation.decode.fingerprint import CROPS

Signature = NDArray[np.uint64]
"""Perceptual hashes of a clip's frames, uint64 [frames, 3]: the whole frame, then its crops."""


class Signatures(Sequence[Signature]):
    """A sequence of signatures, one for each clip."""

    def __init__(self, hashes: Signature, starts: NDArray[np.int32], num_frames: NDArray[np.int32]) -> None:
        """Wrap the hashes of all clips, uint64 [all frames, 3]; a clip's are at `starts`, `num_frames` of them."""
        self.hashes = hashes
        self.starts = starts
        self.num_frames = num_frames

    @classmethod
    def join(cls, signatures: Iterable[Signature]) -> "Signatures":
        """Concatenate signatures."""
        each = list(signatures)
        num_frames = np.array([len(signature) for signature in each], dtype=np.int32)
        hashes = np.concatenate([np.empty((0, len(CROPS)), np.uint64), *each])
        return cls(hashes, (np.cumsum(num_frames) - num_frames).astype(np.int32), num_frames)

    def take(self, indices: NDArray[np.int64]) -> "Signatures":
        """Return the signatures at these indices, in this order, without a copy of the hashes."""
        return Signatures(self.hashes, self.starts[indices], self.num_frames[indices])

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> Signature: ...
    @overload
    def __getitem__(self, index: slice) -> "Signatures": ...
    def __getitem__(self, index: int | slice) -> "Signature | Signatures":
        if isinstance(index, slice):
            return Signatures(self.hashes, self.starts[index], self.num_frames[index])
        return self.hashes[self.starts[index] : self.starts[index] + self.num_frames[index]]


def measure_distance(first: Signature, second: Signature) -> float:
    """Return how far two clips are apart, in bits of 64: the median over frames of the distance to the nearest frame.

    It is the greater of both directions, so a clip that contains another one and much else is no near-duplicate of it.
    Of two crops one must be the whole frame. The result is 64 if a clip has no hashes.
    """
    if not len(first) or not len(second):
        return 64.0
    crops_of_second = np.bitwise_count(first[:, None, :1] ^ second[None]).min(2)
    crops_of_first = np.bitwise_count(first[:, None] ^ second[None, :, :1]).min(2)
    nearest = np.minimum(crops_of_second, crops_of_first)
    return float(max(np.median(nearest.min(1)), np.median(nearest.min(0))))
