"""The frames of a clip -> what its pictures are known by: exactly, and nearly.

The digest is of the frames at the run's resolution, not of the file: a GIF with another palette order, comment or
compression has the same one. The signature holds a perceptual hash of up to 16 frames, each as it is and with its rim
cut away by 5 and by 10 per cent, so that a cropped copy meets the original's inside.
"""

import hashlib

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.decode.thumbnail import Look

NUM_FRAMES = 16
"""Frames of a clip that are in its signature, at even distances."""
INSIDES = (1.0, 0.95, 0.9)
"""Share of each side that a hash sees."""
_HASH_SIDE = 32
_FREQUENCIES = 8


class Fingerprint:
    """Told a clip's frames in order; `digest` and `signature` are then what they are known by."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._looks: list[Look] = []

    def add(self, grey: NDArray[np.uint8], look: Look) -> None:
        """Take the next frame: all its grey values [H, W], and the look at it, which has its colours."""
        self._hash.update(str(grey.shape).encode())
        self._hash.update(grey.tobytes())
        self._hash.update(look.colours.tobytes())
        self._looks.append(look)

    @property
    def digest(self) -> str:
        """SHA-256 over the frames, hexadecimal."""
        return self._hash.hexdigest()

    @property
    def signature(self) -> NDArray[np.uint64]:
        """The perceptual hashes, uint64 [frames, 3]: of up to 16 frames that are not flat, by INSIDES."""
        places = np.linspace(0, len(self._looks) - 1, min(NUM_FRAMES, len(self._looks)))
        looks = [self._looks[round(place)] for place in places]
        hashes = [[_hash_inside(look.thumb, share) for share in INSIDES] for look in looks if not look.is_flat]
        return np.array(hashes, dtype=np.uint64).reshape(-1, len(INSIDES))


def _hash_inside(thumb: NDArray[np.uint8], share: float) -> np.uint64:
    """64 bits: which of the lowest frequencies are above their median (the DCT hash of Zauner, 2010)."""
    rim = round(len(thumb) * (1 - share) / 2)
    inside = np.ascontiguousarray(thumb[rim : len(thumb) - rim, rim : len(thumb) - rim])
    small = cv2.resize(inside, (_HASH_SIDE, _HASH_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    lowest = cv2.dct(small)[:_FREQUENCIES, :_FREQUENCIES].ravel()
    bits = lowest > np.median(lowest[1:])
    bits[0] = False  # The mean, which brightness alone decides.
    return np.uint64(np.packbits(bits).view(">u8")[0])


def pack_signature(signature: NDArray[np.uint64]) -> str:
    """Write a signature as text: 48 hexadecimal digits a frame."""
    return signature.astype(">u8").tobytes().hex()


def unpack_signature(text: str) -> NDArray[np.uint64]:
    """Read what `pack_signature` wrote."""
    return np.frombuffer(bytes.fromhex(text), dtype=">u8").astype(np.uint64).reshape(-1, len(INSIDES))
