"""Corners (Shi and Tomasi, 1994), compiled: bit-identical to cv2.goodFeaturesToTrack.

OpenCV allocates and clears 3 MB per call. Here the frame is processed row by row in buffers that fit the L1 cache. The
last bit of a score decides a tie, so the operations, their order and their rounding are OpenCV's: Sobel in float32 with
fused multiply-add, products in float32, block sums in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from curation.flow.reference import CORNER_BLOCK_PX as BLOCK
from curation.flow.reference import CORNER_QUALITY, MAX_CORNERS, MIN_CORNER_DISTANCE_PX
from curation.jit import compile_entry, compile_part

RADIUS = BLOCK // 2
MAX_WIDTH = 1024
"""Width of the row buffers."""
MIN_SIDE = BLOCK + 1
"""In a smaller frame, a block reflects more than once."""
VECTOR_WIDTH = 16
"""OpenCV's vector width. The columns that remain are rounded differently by OpenCV."""

_u = np.uint64
_SLOT = _u(MAX_WIDTH + 64)
"""Row stride of the buffers, in elements. Not a power of two, to avoid cache conflicts."""
_RING = 8
"""Rows of products in the ring buffer: BLOCK, and the one to subtract."""
_S, _S2 = np.float32(1.0 / (4 * BLOCK * 255)), np.float32(2.0 / (4 * BLOCK * 255))
"""OpenCV's scale of the Sobel filter, and its double."""


@intrinsic
def _emit_fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, float32, rounded once."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return types.float32(types.float32, types.float32, types.float32), codegen


_fma: Any = _emit_fma


@compile_part
def _filter_row(row: Any, left: Any, width: Any, rows: Any, slot: Any) -> None:
    """Filter one image row along x into a slot of two rows: the difference of Sobel's d/dx, the smoothing of d/dy."""
    for x in range(width):
        k = left + x
        a, b, c = np.float32(row[k - _u(1)]), np.float32(row[k]), np.float32(row[k + _u(1)])
        rows[slot + x] = c - a
        rows[slot + _SLOT + x] = _fma(c, _S, _fma(b, _S2, a * _S))


@compile_part
def _multiply_gradients(rows: Any, above: Any, here: Any, below: Any, width: Any, products: Any, slot: Any) -> None:
    """Write dx * dx, dx * dy and dy * dy of one image row into a slot of three rows, float32."""
    for x in range(width):
        dx = _fma(rows[above + x] + rows[below + x], _S, rows[here + x] * _S2)
        dy = rows[below + _SLOT + x] - rows[above + _SLOT + x]
        products[slot + x] = dx * dx
        products[slot + _SLOT + x] = dx * dy
        products[slot + _u(2) * _SLOT + x] = dy * dy


@compile_part
def _slide_columns(columns: Any, products: Any, enters: Any, leaves: Any, width: Any) -> None:
    """Move the sums over BLOCK rows, float64, down by one row and reflect their ends; images start at column RADIUS."""
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
    """Return the sum of BLOCK column sums from index k on, float32."""
    return np.float32(
        columns[k] + columns[k + _u(1)] + columns[k + _u(2)] + columns[k + _u(3)]
        + columns[k + _u(4)] + columns[k + _u(5)] + columns[k + _u(6)]
    )  # fmt: skip


@compile_part
def _write_scores(columns: Any, width: Any, scores: Any) -> Any:
    """Write the smaller eigenvalue of each block's matrix, as the bits of a float32; return the largest of the row.

    Non-negative floats compare like their bits, and an integer maximum vectorises without fastmath.
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
    """Return the row that a row outside the image reflects, without repeating the edge."""
    y = -y if y < 0 else y
    return 2 * (height - 1) - y if y >= height else y


@compile_part
def _score_frame(padded: Any, pad: int, rows: Any, products: Any, columns: Any, scores: Any) -> int:
    """Write the bits of every pixel's corner score to scores, int32 [H, W]; return the largest."""
    height, width = scores.shape
    num, left = _u(width), _u(pad)
    columns[:] = 0.0
    for y in range(-1, 1):
        _filter_row(padded[pad + y], left, num, rows, _u((y + 4) % 4) * _u(2) * _SLOT)
    best = 0
    for y in range(-RADIUS, height + RADIUS):
        # First the products of row y, then the block sums centred RADIUS rows above it.
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
    """Write 1 to marks, uint8, for each local maximum of a row above the threshold, except in the end columns."""
    for x in range(_u(1), width - _u(1)):
        score, before, after = row[x], x - _u(1), x + _u(1)
        high = (score > threshold) & (score >= row[before]) & (score >= row[after])
        high &= (score >= above[before]) & (score >= above[x]) & (score >= above[after])
        high &= (score >= below[before]) & (score >= below[x]) & (score >= below[after])
        marks[x] = np.uint8(high)


@compile_part
def _gather_peaks(scores: Any, threshold: int, marks: Any, peaks: Any) -> int:
    """Write the local maxima above the threshold to peaks, int64; return their number.

    A peak is its score in the upper 32 bits and its position y * W + x in the lower ones.
    """
    height, width = scores.shape
    marks_each, marks_by_eight = marks  # The same memory as uint8 and as uint64, to skip eight pixels at a time.
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
    """Write the best peaks at least MIN_CORNER_DISTANCE_PX apart to corners as (x, y); return their number."""
    xs, ys = np.empty(MAX_CORNERS, np.int32), np.empty(MAX_CORNERS, np.int32)
    num_corners = 0
    order = np.sort(peaks)
    for peak in order[::-1]:
        position = peak & 0xFFFFFFFF
        x, y = np.int32(position % width), np.int32(position // width)
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


@compile_entry
def find_padded_corners(frames: Any, pad: int, sources: Any, buffers: Any, corners: Any, num_corners: Any) -> None:
    """Find the corners of S frames.

    frames: uint8 [T, H + 2 pad, W + 2 pad], padded by reflection without repeating the edge; `supports_size(H, W)`
    must be true. sources: frame indices, int64 [S]. buffers: see `allocate_corner_buffers`.
    Writes corners, float32 [S, MAX_CORNERS, 2] as (x, y), best first, and num_corners, int64 [S].
    """
    rows, products, columns, scores, marks, peaks = buffers
    for s in range(sources.shape[0]):
        best = _score_frame(frames[sources[s]], pad, rows, products, columns, scores)
        num_corners[s] = 0
        if best > 0:
            # Rounded to float32, as in OpenCV.
            largest = np.int32(best).view(np.float32)
            threshold = np.float32(np.float64(largest) * CORNER_QUALITY).view(np.int32)
            num_peaks = _gather_peaks(scores, threshold, marks, peaks)
            num_corners[s] = _pick_apart(peaks[:num_peaks], scores.shape[1], corners[s])


def supports_size(height: int, width: int) -> bool:
    """Return whether `find_padded_corners` equals OpenCV for frames of this size."""
    return min(height, width) >= MIN_SIDE and width <= MAX_WIDTH and width % VECTOR_WIDTH == 0


def allocate_corner_buffers(height: int, width: int) -> tuple[Any, ...]:
    """Allocate the buffers of `find_padded_corners` for frames of H x W; they are reused for every frame."""
    slot = int(_SLOT)
    marks = np.zeros((width + 7) // 8, np.uint64)
    return (
        np.zeros(4 * 2 * slot, np.float32),
        np.zeros((_RING + 1) * 3 * slot, np.float32),  # The last slot stays 0: it is subtracted for the first row.
        np.zeros(3 * slot, np.float64),
        np.zeros((height, width), np.int32),
        (marks.view(np.uint8), marks),
        np.zeros(height * width, np.int64),
    )
