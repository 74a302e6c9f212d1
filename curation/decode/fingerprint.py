"""Fingerprint of a clip: a digest for exact duplicates and a signature for near-duplicates.

The digest covers the frames at the run's resolution, not the file: a GIF with a reordered palette, another comment or
other compression has the same digest. The signature holds perceptual hashes of up to 16 frames. Each frame is hashed
whole and with 5 % and 10 % of each side cropped, so a cropped copy matches the inside of the original.
"""

import hashlib

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.decode.thumbnail import Thumbnail

NUM_FRAMES = 16
"""Largest number of frames in a signature, evenly spaced over the clip."""
CROPS = (1.0, 0.95, 0.9)
"""Fraction of each side that is hashed."""
_HASH_SIDE = 32
_NUM_FREQUENCIES = 8


class Fingerprint:
    """Compute the fingerprint of frames added one by one."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._thumbnails: list[Thumbnail] = []

    def add(self, grey: NDArray[np.uint8], thumbnail: Thumbnail) -> None:
        """Add the next frame: its grey values, uint8 [H, W], and its thumbnail."""
        self._hash.update(str(grey.shape).encode())
        self._hash.update(np.ascontiguousarray(grey).data)
        self._hash.update(thumbnail.colours.data)
        self._thumbnails.append(thumbnail)

    @property
    def digest(self) -> str:
        """SHA-256 over all frames, hexadecimal."""
        return self._hash.hexdigest()

    @property
    def signature(self) -> NDArray[np.uint64]:
        """Perceptual hashes, uint64 [F, 3]: up to 16 frames, without flat ones, by the crops in CROPS."""
        indices = np.linspace(0, len(self._thumbnails) - 1, min(NUM_FRAMES, len(self._thumbnails)))
        frames = [self._thumbnails[round(index)] for index in indices]
        crops = [_transform_crop(frame.grey, crop) for frame in frames if not frame.is_flat for crop in CROPS]
        return _hash_frequencies(np.array(crops, dtype=np.float32)).reshape(-1, len(CROPS))


def _transform_crop(grey: NDArray[np.uint8], crop: float) -> NDArray[np.float32]:
    """Return the 8 x 8 lowest frequencies of a thumbnail's centre, float32 [64]."""
    border = round(len(grey) * (1 - crop) / 2)
    centre = np.ascontiguousarray(grey[border : len(grey) - border, border : len(grey) - border])
    small = cv2.resize(centre, (_HASH_SIDE, _HASH_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(cv2.dct(small)[:_NUM_FREQUENCIES, :_NUM_FREQUENCIES].ravel(), dtype=np.float32)


def _hash_frequencies(lowest: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return the 64-bit DCT hash of each of N crops, uint64 [N] (Zauner, 2010).

    lowest: the results of `_transform_crop`, float32 [N, 64]. Bit k is set if the k-th frequency is above the median of
    all but the first.
    """
    lowest = lowest.reshape(-1, _NUM_FREQUENCIES**2)
    ranked = np.sort(lowest[:, 1:], axis=1)  # An odd number of values. np.median takes ten times as long.
    bits = lowest > ranked[:, ranked.shape[1] // 2, None]
    bits[:, 0] = False  # The mean: it depends on brightness alone.
    return np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)


def pack_signature(signature: NDArray[np.uint64]) -> str:
    """Encode a signature as text: 48 hexadecimal digits per frame."""
    return signature.astype(">u8").tobytes().hex()


def unpack_signature(text: str) -> NDArray[np.uint64]:
    """Decode a signature written by `pack_signature`: uint64 [F, 3]."""
    return np.frombuffer(bytes.fromhex(text), dtype=">u8").astype(np.uint64).reshape(-1, len(CROPS))
