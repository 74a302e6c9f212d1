"""Motion of all pairs of one clip: the same definition as `curation.flow.reference`, at a fraction of its cost.

In come the clip's grey frames, out go two columns of the flow table. Corners and pyramids are made once a
frame, templates once a corner and level of a source frame, and what is left for a pair is compiled code
(`curation.flow.lucas_kanade.tracking`). Sources: Shi and Tomasi (1994), Lucas and Kanade (1981), pyramids as in Bouguet
(2001). How it works, and why it is right: docs/kernel.md.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.flow.lucas_kanade.corners import find_padded_corners, new_corner_work, suits
from curation.flow.lucas_kanade.templates import PAD, new_work
from curation.flow.lucas_kanade.tracking import track_sources
from curation.flow.reference import MAX_CORNERS, MAX_LEVEL, WINDOW_PX, find_corners

MAX_LEVELS = MAX_LEVEL + 1
_FIXED_BYTES = 256 * 1024


def measure_all_pairs(
    grey: NDArray[np.uint8], sources: range | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Measure every pair (i, j), i < j, of a clip.

    grey: uint8 [T, H, W]. sources: the source frames i to measure, all by default; a clip too large for one
    worker is split by them, and the parts joined are the same bits as the whole. Returns motion_px and
    tracked_fraction, float32 [P] each, ordered by source, then target. Memory: `count_working_bytes`.
    Raises ValueError for anything but uint8 [T, H, W].
    """
    motion_px, tracked_fraction, _ = measure_and_count(grey, sources)
    return motion_px, tracked_fraction


def measure_and_count(
    grey: NDArray[np.uint8], sources: range | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Measure as `measure_all_pairs` does; return too, int64 [2], iterations and cells visited (for benchmarks)."""
    if grey.dtype != np.uint8 or grey.ndim != 3:
        raise ValueError(f"grey: {grey.dtype} {list(grey.shape)}, must be uint8 [T, H, W]")
    num_frames = len(grey)
    chosen = [i for i in (range(num_frames) if sources is None else sources) if 0 <= i < num_frames - 1]
    num_pairs = sum(num_frames - 1 - i for i in chosen)
    motion_px = np.zeros(num_pairs, np.float32)
    tracked_fraction = np.zeros(num_pairs, np.float32)
    counters = np.zeros(2, np.int64)
    if chosen:
        start = min(chosen)  # no earlier frame is anybody's target
        frames, source_frames = grey[start:], np.array(chosen, np.int64) - start
        pyramid, num_levels = build_pyramids(frames)
        corners, num_corners = find_all_corners(frames, pyramid[0], source_frames)
        track_sources(
            pyramid, num_levels, source_frames, corners, num_corners, new_work(),
            motion_px, tracked_fraction, counters
        )  # fmt: skip
    return motion_px, tracked_fraction, counters


def count_working_bytes(num_frames: int, height: int, width: int) -> int:
    """Count the bytes that `measure_all_pairs` allocates for T frames of H x W, beside the frames themselves.

    T * sum over the levels l of (H / 2**l + 32) * (W / 2**l + 32) for the pyramids, T * 816 for corners,
    8 * T * (T - 1) / 2 for the result, 12 * H * W to find corners in, and 256 KiB: 119 KB a frame of
    256 x 256, 70 MB for 572 of them.
    """
    pixels = sum((rows + 2 * PAD) * (cols + 2 * PAD) for rows, cols in _level_shapes(height, width))
    pairs = num_frames * (num_frames - 1) // 2
    return num_frames * (pixels + 8 * MAX_CORNERS + 16) + 8 * pairs + 12 * height * width + _FIXED_BYTES


def find_all_corners(
    grey: NDArray[np.uint8], padded: NDArray[np.uint8], sources: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Find the corners of the source frames: float32 [S, 100, 2] as (x, y), and how many count, int64 [S].

    padded: level 0 of the same frames' pyramids. Frames of unusual size are left to OpenCV, and so are all
    where its arithmetic is another (a processor without fused multiply-add).
    """
    corners = np.zeros((len(sources), MAX_CORNERS, 2), np.float32)
    num_corners = np.zeros(len(sources), np.int64)
    if suits(*grey.shape[1:]) and _compiled_corners_are_those_of_opencv():
        find_padded_corners(padded, PAD, sources, new_corner_work(*grey.shape[1:]), corners, num_corners)
        return corners, num_corners
    for s, i in enumerate(sources):
        found = find_corners(grey[i])
        if found is not None:
            num_corners[s] = len(found)
            corners[s, : len(found)] = found[:, 0]
    return corners, num_corners


@functools.cache
def _compiled_corners_are_those_of_opencv() -> bool:
    """Try both on pictures full of ties, which the last bit decides; once a process, in a millisecond."""
    places = np.arange(64)
    diagonals = np.add.outer(places, places) // 5 % 2 * 255
    tiles = np.outer(places % 7, places % 11) * 3 % 256
    frames = np.stack([diagonals, tiles, diagonals ^ tiles]).astype(np.uint8)
    padded = build_pyramids(frames)[0][0]
    corners, num_corners = np.zeros((3, MAX_CORNERS, 2), np.float32), np.zeros(3, np.int64)
    find_padded_corners(padded, PAD, np.arange(3), new_corner_work(64, 64), corners, num_corners)
    expected = [find_corners(frame) for frame in frames]
    return all(
        theirs is not None and np.array_equal(mine[:num], theirs[:, 0])
        for mine, num, theirs in zip(corners, num_corners, expected, strict=True)
    )


def build_pyramids(grey: NDArray[np.uint8]) -> tuple[tuple[NDArray[np.uint8], ...], int]:
    """Build the padded pyramid of every frame, and tell its number of levels.

    Always three arrays, uint8 [T, rows + 32, cols + 32], level 0 first; those that a small frame has no use
    for are empty. Padding reflects, without repeating the edge, as cv2.calcOpticalFlowPyrLK has it.
    """
    shapes = _level_shapes(*grey.shape[1:])
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


def _level_shapes(height: int, width: int) -> list[tuple[int, int]]:
    """List the (rows, cols) of the levels; from the second on, they must be larger than the window."""
    shapes = [(height, width)]
    while len(shapes) < MAX_LEVELS:
        height, width = (height + 1) // 2, (width + 1) // 2
        if height <= WINDOW_PX or width <= WINDOW_PX:
            break
        shapes.append((height, width))
    return shapes
