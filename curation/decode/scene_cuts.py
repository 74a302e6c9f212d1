"""Scene cuts: assign a scene to every frame of a clip.

Two frames show the same scene if their thumbnails correlate, allowing for a shift, or if correlation and colour overlap
together are high enough. Correlation alone fails when a large object enters the frame; colour alone fails when a light
is switched on. Fades pass, because correlation ignores brightness, and pans pass, because they stay within the shift.
A frame without texture, such as a flash, cannot be compared and keeps the current scene.
"""

from typing import NamedTuple, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.decode.thumbnail import Thumbnail

_SIDE = 32
_MAX_SHIFT = 6
"""Largest shift between two frames of a scene, in pixels of the 32 x 32 thumbnail: covers pans and camera shake."""
_MIN_CORRELATION = 0.75
_MIN_SIMILARITY = 1.1
"""Threshold on correlation plus colour overlap, each up to 1. In real GIFs without a cut the smallest sum was 1.16;
98 % of frame pairs from different GIFs are below 1.1."""
_BINS = [8, 8, 8]


class SceneDetector:
    """Detect scene cuts in frames added one by one.

    A frame that matches an earlier scene belongs to that scene again. An inserted picture is therefore a scene of its
    own, and the frames before and after it share one.
    """

    def __init__(self) -> None:
        self.scenes: list[int] = []
        """Scene of each frame, numbered from 0 in order of first appearance."""
        self._last_views: list[_View] = []
        """The latest frame of each scene."""
        self._current = 0

    def add(self, thumbnail: Thumbnail) -> None:
        """Append the scene of the next frame to `scenes`."""
        if not thumbnail.is_flat:
            view = _View.from_thumbnail(thumbnail)
            self._current = self._find_scene(view)
            self._last_views[self._current : self._current + 1] = [view]
        self.scenes.append(self._current)

    def _find_scene(self, view: "_View") -> int:
        if not self._last_views:
            return 0
        others = (scene for scene in range(len(self._last_views)) if scene != self._current)
        for scene in (self._current, *others):
            if _show_same_scene(self._last_views[scene], view):
                return scene
        return len(self._last_views)


class _View(NamedTuple):
    """A thumbnail prepared for comparison."""

    grey: NDArray[np.float32]
    """Blurred grey values, float32 [32, 32]."""
    histogram: NDArray[np.float32]
    """Fraction of pixels in each of 512 colours, float32 [512]."""

    @classmethod
    def from_thumbnail(cls, thumbnail: Thumbnail) -> Self:
        grey = cv2.resize(thumbnail.grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        counts = cv2.calcHist([thumbnail.colours], [0, 1, 2], None, _BINS, [0, 256] * 3).ravel()
        return cls(
            grey=np.asarray(cv2.GaussianBlur(grey, (3, 3), 0), dtype=np.float32),
            histogram=np.asarray(counts / counts.sum(), dtype=np.float32),
        )


def _show_same_scene(first: _View, second: _View) -> bool:
    correlation = _correlate(first.grey, second.grey)
    if correlation >= _MIN_CORRELATION:
        return True
    correlation = max(correlation, _correlate(second.grey, first.grey))
    if correlation >= _MIN_CORRELATION:
        return True
    return correlation + float(np.minimum(first.histogram, second.histogram).sum()) >= _MIN_SIMILARITY


def _correlate(template: NDArray[np.float32], image: NDArray[np.float32]) -> float:
    """Return the best normalised correlation of the template's centre with the image over all shifts, -1 to 1."""
    centre = np.ascontiguousarray(template[_MAX_SHIFT:-_MAX_SHIFT, _MAX_SHIFT:-_MAX_SHIFT])
    return float(cv2.matchTemplate(image, centre, cv2.TM_CCOEFF_NORMED).max())
