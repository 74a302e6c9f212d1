"""Motion of all pairs of a clip: the results of `curation.flow.reference` at a twentieth of its cost.

Corners and pyramids are computed once per frame, templates once per corner, level and source frame. Tracking is
compiled (`curation.flow.lucas_kanade.tracking`).

Sources: corners by Shi and Tomasi (1994), tracking by Lucas and Kanade (1981), pyramids as in Bouguet (2001).
Design and accuracy: docs/kernel.md.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.flow.lucas_kanade.corners import allocate_corner_buffers, find_padded_corners, supports_size
from curation.flow.lucas_kanade.templates import PAD, allocate_buffers
from curation.flow.lucas_kanade.tracking import track_sources
from curation.flow.reference import MAX_CORNERS, MAX_LEVEL, WINDOW_PX, find_corners

MAX_LEVELS = MAX_LEVEL + 1


def measure_all_pairs(
    grey: NDArray[np.uint8], sources: range | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Measure every pair (i, j), i < j, of a clip.

    grey: uint8 [T, H, W]. sources: the source frames i to measure, default all. The results of consecutive ranges
    concatenate to those of the whole clip, bit for bit.
    Returns (motion_px, tracked_fraction), float32 [P] each, ordered by source, then target; as `reference.track`.
    Allocates T times (H / 2**l + 32) * (W / 2**l + 32) bytes for each pyramid level l, and 4 * T**2 for the results:
    70 MB for 572 frames of 256 x 256.
    Raises ValueError if `grey` is not uint8 [T, H, W].
    """
    if grey.dtype != np.uint8 or grey.ndim != 3:
        raise ValueError(f"grey: {grey.dtype} {list(grey.shape)}, must be uint8 [T, H, W]")
    num_frames = len(grey)
    selected = [i for i in (range(num_frames) if sources is None else sources) if 0 <= i < num_frames - 1]
    num_pairs = sum(num_frames - 1 - i for i in selected)
    motion_px, tracked_fraction = np.zeros(num_pairs, np.float32), np.zeros(num_pairs, np.float32)
    if selected:
        start = min(selected)  # Earlier frames are not targets.
        frames, source_frames = grey[start:], np.array(selected, np.int64) - start
        pyramid, num_levels = build_pyramids(frames)
        corners, num_corners = find_all_corners(frames, pyramid[0], source_frames)
        counters = np.zeros(2, np.int64)
        track_sources(
            pyramid, num_levels, source_frames, corners, num_corners, allocate_buffers(),
            motion_px, tracked_fraction, counters
        )  # fmt: skip
    return motion_px, tracked_fraction


def find_all_corners(
    grey: NDArray[np.uint8], padded: NDArray[np.uint8], sources: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Find the corners of S source frames.

    grey: uint8 [T, H, W]. padded: level 0 of `build_pyramids(grey)`. sources: frame indices, int64 [S].
    Returns the corners, float32 [S, 100, 2] as (x, y) in pixels, and the number of valid ones, int64 [S]. OpenCV finds
    the corners if `supports_size` is false, or if its results differ on this processor (`corners_match_opencv`).
    """
    corners = np.zeros((len(sources), MAX_CORNERS, 2), np.float32)
    num_corners = np.zeros(len(sources), np.int64)
    if supports_size(*grey.shape[1:]) and corners_match_opencv():
        find_padded_corners(padded, PAD, sources, allocate_corner_buffers(*grey.shape[1:]), corners, num_corners)
        return corners, num_corners
    for s, i in enumerate(sources):
        frame_corners = find_corners(grey[i])
        if frame_corners is not None:
            num_corners[s] = len(frame_corners)
            corners[s, : len(frame_corners)] = frame_corners[:, 0]
    return corners, num_corners


@functools.cache
def corners_match_opencv() -> bool:
    """Return whether compiled corners equal OpenCV's on three test frames with many ties; takes 1 ms per process.

    The last bit of a score decides a tie. It differs if OpenCV does not use fused multiply-add on this processor.
    """
    indices = np.arange(64)
    diagonals = np.add.outer(indices, indices) // 5 % 2 * 255
    tiles = np.outer(indices % 7, indices % 11) * 3 % 256
    frames = np.stack([diagonals, tiles, diagonals ^ tiles]).astype(np.uint8)
    padded = build_pyramids(frames)[0][0]
    corners, num_corners = np.zeros((3, MAX_CORNERS, 2), np.float32), np.zeros(3, np.int64)
    find_padded_corners(padded, PAD, np.arange(3), allocate_corner_buffers(64, 64), corners, num_corners)
    expected = [find_corners(frame) for frame in frames]
    return all(
        opencv is not None and np.array_equal(compiled[:num], opencv[:, 0])
        for compiled, num, opencv in zip(corners, num_corners, expected, strict=True)
    )


def build_pyramids(grey: NDArray[np.uint8]) -> tuple[tuple[NDArray[np.uint8], ...], int]:
    """Build the padded pyramid of every frame, uint8 [T, H, W].

    Returns (levels, num_levels): three arrays, uint8 [T, rows + 32, cols + 32], level 0 first, and the number of levels
    in use. The arrays of unused levels are empty. Padding reflects without repeating the edge, as in
    cv2.calcOpticalFlowPyrLK.
    """
    shapes = _list_level_shapes(*grey.shape[1:])
    levels = [np.empty((len(grey), rows + 2 * PAD, cols + 2 * PAD), np.uint8) for rows, cols in shapes] + [
        np.empty((0, 2 * PAD, 2 * PAD), np.uint8)
    ] * (MAX_LEVELS - len(shapes))
    for t, frame in enumerate(grey):
        image = frame
        for level, (rows, cols) in enumerate(shapes):
            if level > 0:
                image = cv2.pyrDown(image, dstsize=(cols, rows))
            cv2.copyMakeBorder(image, PAD, PAD, PAD, PAD, cv2.BORDER_REFLECT_101, dst=levels[level][t])
    return tuple(levels), len(shapes)


def _list_level_shapes(height: int, width: int) -> list[tuple[int, int]]:
    """List the (rows, cols) of the levels. From the second on, a level must be larger than the window."""
    shapes = [(height, width)]
    while len(shapes) < MAX_LEVELS:
        height, width = (height + 1) // 2, (width + 1) // 2
        if height <= WINDOW_PX or width <= WINDOW_PX:
            break
        shapes.append((height, width))
    return shapes
