"""Shi-Tomasi corners of one frame (Shi and Tomasi, 1994): what cv2.goodFeaturesToTrack finds, compiled.

In comes a frame with its padding, out go its corners, best first. OpenCV allocates and clears a new 3 MB at
every call; here one row of everything is made at a time, in buffers that stay in the first cache. The
operations, their order and their roundings are OpenCV's (Sobel in float32 with fused multiply-add, products
in float32, sums over the block in float64), since corners that tie are told apart by their last bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from curation.flow import reference as flow
from curation.flow.reference import CORNER_BLOCK_PX as BLOCK
from curation.flow.reference import CORNER_QUALITY, MAX_CORNERS, MIN_CORNER_DISTANCE_PX
from curation.jit import compile_entry, compile_part, digest_sources

RADIUS = BLOCK // 2
MAX_WIDTH = 1024  # what the buffers hold
MIN_SIDE = BLOCK + 1  # below it a block reflects more than once
VECTOR_WIDTH = 16  # OpenCV rounds otherwise in the columns that its vectors leave over

_u = np.uint64
_SLOT = _u(MAX_WIDTH + 64)  # numbers from one row of a buffer to the next; not a power of 2, for the cache
_RING = 8  # rows of products kept: BLOCK, and the one that leaves
_S = np.float32(1.0 / (4 * BLOCK * 255))
_S2 = np.float32(2.0 / (4 * BLOCK * 255))


@intrinsic
def _emit_fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """Compute a * b + c, float32, rounded once."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return types.float32(types.float32, types.float32, types.float32), codegen


_fma: Any = _emit_fma


@compile_part
def _filter_row(row: Any, left: Any, width: Any, rows: Any, slot: Any) -> None:
    """Filter an image row along x, into a slot of two rows: the difference, and the smoothing of Sobel's d/dy."""
    for x in range(width):
        k = left + x
        a, b, c = np.float32(row[k - _u(1)]), np.float32(row[k]), np.float32(row[k + _u(1)])
        rows[slot + x] = c - a
        rows[slot + _SLOT + x] = _fma(c, _S, _fma(b, _S2, a * _S))


@compile_part
def _multiply_gradients(rows: Any, above: Any, here: Any, below: Any, width: Any, products: Any, slot: Any) -> None:
    """Write dx dx, dx dy and dy dy of one row into a slot of three rows."""
    for x in range(width):
        dx = _fma(rows[above + x] + rows[below + x], _S, rows[here + x] * _S2)
        dy = rows[below + _SLOT + x] - rows[above + _SLOT + x]
        products[slot + x] = dx * dx
        products[slot + _SLOT + x] = dx * dy
        products[slot + _u(2) * _SLOT + x] = dy * dy


@compile_part
def _slide_columns(columns: Any, products: Any, enters: Any, leaves: Any, width: Any) -> None:
    """Move the sums over BLOCK rows, three rows that begin at RADIUS, down by one; then reflect their ends."""
    for channel in range(_u(3)):
        base = channel * _SLOT
        for x in range(width):
            entering, leaving = products[enters + base + x], products[leaves + base + x]
            columns[base + _u(RADIUS) + x] += np.float64(entering) - np.float64(leaving)
        last = base + _u(RADIUS) + width - _u(1)
        for k in range(_u(1), _u(RADIUS + 1)):
            columns[base + _u(RADIUS) - k] = columns[base + _u(RADIUS) + k]
            columns[last + k] = columns[last - k]


@compile_part
def _sum_block(columns: Any, k: Any) -> Any:
    return np.float32(
        columns[k] + columns[k + _u(1)] + columns[k + _u(2)] + columns[k + _u(3)]
        + columns[k + _u(4)] + columns[k + _u(5)] + columns[k + _u(6)]
    )  # fmt: skip


@compile_part
def _write_scores(columns: Any, width: Any, scores: Any) -> Any:
    """Write the smaller eigenvalue of each block's matrix, as the bits of a float32; return the row's largest.

    Bits of floats from 0 up are in the order of the floats, and the largest integer is found in any order.
    """
    best = np.int32(0)
    for x in range(width):
        a = _sum_block(columns, x) * np.float32(0.5)
        b = _sum_block(columns, x + _SLOT)
        c = _sum_block(columns, x + _u(2) * _SLOT) * np.float32(0.5)
        score = (a + c) - np.sqrt((a - c) * (a - c) + b * b)
        bits = np.float32(score).view(np.int32)
        scores[x] = bits
        best = max(best, bits)
    return best


@compile_part
def _reflect(y: int, height: int) -> int:
    y = -y if y < 0 else y
    return 2 * (height - 1) - y if y >= height else y


@compile_part
def _score_frame(padded: Any, pad: int, rows: Any, products: Any, columns: Any, scores: Any) -> int:
    """Fill scores, int32 [H, W], with the bits of every pixel's corner score; return the largest."""
    height, width = scores.shape
    num, left = _u(width), _u(pad)
    columns[:] = 0.0
    for y in range(-1, 1):
        _filter_row(padded[pad + y], left, num, rows, _u((y + 4) % 4) * _u(2) * _SLOT)
    best = 0
    for y in range(-RADIUS, height + RADIUS):
        # products of row y, if there is one, then the sums centred RADIUS rows above
        if 0 <= y < height:
            _filter_row(padded[pad + y + 1], left, num, rows, _u((y + 1) % 4) * _u(2) * _SLOT)
            above, here, below = _u((y + 3) % 4), _u(y % 4), _u((y + 1) % 4)
            _multiply_gradients(
                rows, above * _u(2) * _SLOT, here * _u(2) * _SLOT, below * _u(2) * _SLOT,
                num, products, _u(y % _RING) * _u(3) * _SLOT
            )  # fmt: skip
        if y == RADIUS:
            for k in range(-RADIUS, RADIUS + 1):
                slot = _u(_reflect(k, height) % _RING) * _u(3) * _SLOT
                _slide_columns(columns, products, slot, _u(_RING * 3) * _SLOT, num)
        if y > RADIUS:
            enters = _u(_reflect(y, height) % _RING) * _u(3) * _SLOT
            leaves = _u(_reflect(y - BLOCK, height) % _RING) * _u(3) * _SLOT
            _slide_columns(columns, products, enters, leaves, num)
        if y >= RADIUS:
            best = max(best, _write_scores(columns, num, scores[y - RADIUS]))
    return best


@compile_part
def _mark_peaks(above: Any, row: Any, below: Any, width: Any, threshold: Any, marks: Any) -> None:
    """Mark by 1 the local maxima of a row that lie above the threshold, the ends left out."""
    for x in range(_u(1), width - _u(1)):
        score, before, after = row[x], x - _u(1), x + _u(1)
        high = (score > threshold) & (score >= row[before]) & (score >= row[after])
        high &= (score >= above[before]) & (score >= above[x]) & (score >= above[after])
        high &= (score >= below[before]) & (score >= below[x]) & (score >= below[after])
        marks[x] = np.uint8(high)


@compile_part
def _gather_peaks(scores: Any, threshold: int, marks: Any, peaks: Any) -> int:
    """Write score and place (y * W + x) of the local maxima above the threshold into peaks; return their number."""
    height, width = scores.shape
    marks_each, marks_by_eight = marks
    num_peaks = 0
    for y in range(1, height - 1):
        _mark_peaks(scores[y - 1], scores[y], scores[y + 1], _u(width), np.int32(threshold), marks_each)
        for eight in range((width + 7) // 8):
            if marks_by_eight[eight] != 0:
                for x in range(8 * eight, min(8 * eight + 8, width)):
                    if marks_each[x] != 0:
                        peaks[num_peaks] = (np.int64(scores[y, x]) << 32) | (y * width + x)
                        num_peaks += 1
    return num_peaks


@compile_part
def _pick_apart(peaks: Any, width: int, corners: Any) -> int:
    """Pick the best peaks, MIN_CORNER_DISTANCE_PX apart, into corners as (x, y); return their number."""
    xs, ys = np.empty(MAX_CORNERS, np.int32), np.empty(MAX_CORNERS, np.int32)
    num_corners = 0
    order = np.sort(peaks)
    for peak in order[::-1]:
        place = peak & 0xFFFFFFFF
        x, y = np.int32(place % width), np.int32(place // width)
        num_near = 0
        for k in range(_u(num_corners)):
            dx, dy = xs[k] - x, ys[k] - y
            num_near += dx * dx + dy * dy < MIN_CORNER_DISTANCE_PX * MIN_CORNER_DISTANCE_PX
        if num_near == 0:
            xs[num_corners], ys[num_corners] = x, y
            corners[num_corners, 0], corners[num_corners, 1] = x, y
            num_corners += 1
            if num_corners == MAX_CORNERS:
                break
    return num_corners


def _define_entry() -> Any:
    sources_digest = digest_sources(flow)

    @compile_entry
    def find_padded_corners(frames: Any, pad: int, sources: Any, work: Any, corners: Any, num_corners: Any) -> None:
        """Find the corners of the source frames, int64 [S], of frames, uint8 [T, H + 2 pad, W + 2 pad].

        The padding reflects, without repeating the edge. H and W: see `suits`. work:
        see `new_corner_work`. Out: corners, float32 [S, MAX_CORNERS, 2] as (x, y), best first; num_corners, int64 [S].
        """
        _ = sources_digest  # closed over, so part of the cache's key
        rows, products, columns, scores, marks, peaks = work
        for s in range(sources.shape[0]):
            best = _score_frame(frames[sources[s]], pad, rows, products, columns, scores)
            num_corners[s] = 0
            if best > 0:
                # the threshold is rounded to float32 as OpenCV rounds it
                largest = np.int32(best).view(np.float32)
                threshold = np.float32(np.float64(largest) * CORNER_QUALITY).view(np.int32)
                num_peaks = _gather_peaks(scores, threshold, marks, peaks)
                num_corners[s] = _pick_apart(peaks[:num_peaks], scores.shape[1], corners[s])

    return find_padded_corners


find_padded_corners = _define_entry()


def suits(height: int, width: int) -> bool:
    """Tell whether frames of this size have the very corners of OpenCV here."""
    return min(height, width) >= MIN_SIDE and width <= MAX_WIDTH and width % VECTOR_WIDTH == 0


def new_corner_work(height: int, width: int) -> tuple[Any, ...]:
    """Allocate what `find_padded_corners` writes for frames of H x W, to be used again for every frame."""
    slot = int(_SLOT)
    marks = np.zeros((width + 7) // 8, np.uint64)
    return (
        np.zeros(4 * 2 * slot, np.float32),
        np.zeros((_RING + 1) * 3 * slot, np.float32),  # the last slot stays 0: nothing leaves
        np.zeros(3 * slot, np.float64),
        np.zeros((height, width), np.int32),
        (marks.view(np.uint8), marks),
        np.zeros(height * width, np.int64),
    )
