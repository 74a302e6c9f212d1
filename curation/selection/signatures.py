"""The signatures of many clips in one array: of a million clips they are 300 MB, and nothing more."""

from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from curation.decode.fingerprint import CROPS

Signature = NDArray[np.uint64]
"""Perceptual hashes, uint64 [frames, 3]: each frame whole, then its insides."""


BANDS = ((0, 11), (11, 11), (22, 11), (33, 11), (44, 10), (54, 10))
"""Where each begins in a hash, and how many bits it has."""


MOST_IN_A_BUCKET = 200
"""Each hash meets this many at most of those that share two bands with it: pictures so common prove little."""


def order_by_group(groups: NDArray[np.integer]) -> tuple[NDArray[np.int32], int]:
    """Order clips so that those of the largest group come last; returns their numbers, and how many are of others."""
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.lexsort([codes, sizes[codes]]).astype(np.int32)
    return order, len(order) - int(sizes.max(initial=0))


class Signatures(Sequence[Signature]):
    """Signatures of clips, each [frames, 3]."""

    def __init__(self, hashes: Signature, starts: NDArray[np.int32], num_frames: NDArray[np.int32]) -> None:
        """Take all hashes, uint64 [all frames, 3], and where each clip's begin and how many frames it has, [clips]."""
        self.hashes = hashes
        self.starts = starts
        self.num_frames = num_frames

    @classmethod
    def join(cls, signatures: Iterable[Signature]) -> "Signatures":
        """Put signatures into one array."""
        each = list(signatures)
        num_frames = np.array([len(one) for one in each], dtype=np.int32)
        hashes = np.concatenate([np.empty((0, len(CROPS)), np.uint64), *each])
        return cls(hashes, (np.cumsum(num_frames) - num_frames).astype(np.int32), num_frames)

    def take(self, places: NDArray[np.int64]) -> "Signatures":
        """Choose some, in this order; the array stays as it is."""
        return Signatures(self.hashes, self.starts[places], self.num_frames[places])

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, place: int) -> Signature: ...
    @overload
    def __getitem__(self, place: slice) -> "Signatures": ...
    def __getitem__(self, place: int | slice) -> "Signature | Signatures":
        if isinstance(place, slice):
            return Signatures(self.hashes, self.starts[place], self.num_frames[place])
        return self.hashes[self.starts[place] : self.starts[place] + self.num_frames[place]]
