"""Scene cuts: assign a scene to every frame of a clip.

Two frames show the same scene if their thumbnails correlate, allowing for a shift, or if correlation and colour overlap
together are high enough. Correlation alone fails when a large object enters the frame; colour alone fails when a light
is switched on. Fades pass, because correlation ignores brightness, and pans pass, because they stay within the shift.
A frame without texture, such as a flash, cannot be compared and keeps the current scene.
"""

import itertools

import numpy as np

from curation.decode.thumbnail import Thumbnail, load_kernel, make_thumbnail

_MIN_CORRELATION = 0.75
_MIN_SIMILARITY = 1.1
"""Threshold on correlation plus colour overlap, each up to 1. In real GIFs without a cut the smallest sum was 1.16;
98 % of frame pairs from different GIFs are below 1.1."""


class SceneDetector:
    """Detect scene cuts in frames added one by one.

    A frame that matches an earlier scene belongs to that scene again. An inserted picture is therefore a scene of its
    own, and the frames before and after it share one.
    """

    def __init__(self) -> None:
        self.scenes: list[int] = []
        """Scene of each frame, numbered from 0 in order of first appearance."""
        self._last_thumbnails: list[Thumbnail] = []
        """The latest frame of each scene."""
        self._current = 0

    def add(self, thumbnail: Thumbnail) -> None:
        """Append the scene of the next frame to `scenes`."""
        if not thumbnail.is_flat:
            self._current = self._find_scene(thumbnail)
            self._last_thumbnails[self._current : self._current + 1] = [thumbnail]
        self.scenes.append(self._current)

    def _find_scene(self, thumbnail: Thumbnail) -> int:
        if not self._last_thumbnails:
            return 0
        others = (scene for scene in range(len(self._last_thumbnails)) if scene != self._current)
        for scene in itertools.chain([self._current], others):
            if _show_same_scene(self._last_thumbnails[scene], thumbnail):
                return scene
        return len(self._last_thumbnails)


def _show_same_scene(first: Thumbnail, second: Thumbnail) -> bool:
    """Return whether two frames, neither of them flat, show the same scene."""
    prepared = first.blurred, first.counts, second.blurred, second.counts
    return bool(load_kernel().reaches_threshold(*prepared, _MIN_CORRELATION, _MIN_SIMILARITY))


def warm_up_scene_cuts() -> None:
    """Compile or load everything that thumbnails and scene cuts call."""
    planes = np.zeros((3, 256, 256), np.uint8)
    thumbnail = make_thumbnail(planes[0], planes.transpose(1, 2, 0))  # Numba compiles for a memory layout.
    _show_same_scene(thumbnail, thumbnail)
