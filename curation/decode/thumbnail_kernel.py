"""Thumbnails and their comparison, compiled. All sums are of integers and exact, so nothing depends on the processor.

Pictures are compared at 32 x 32 pixels: the centre of one, 20 x 20, with the 13 x 13 windows of that size in the other.

    grey, colours, blurred, counts: see `Thumbnail`
    centre: int16 [20 * 32], see `cut_centre`
    sums: the sum of a window's pixels, and that of their squares
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curation.jit import compile_entry, compile_part

SIDE = 32
"""Side in pixels of the pictures that are compared."""
MAX_SHIFT = 6
"""Largest shift between two frames of a scene, in pixels of these pictures: covers pans and camera shake."""
NUM_SHIFTS = 2 * MAX_SHIFT + 1
_WINDOW = SIDE - 2 * MAX_SHIFT
_AREA = _WINDOW * _WINDOW
_MID = 2040
_FLAT_DEVIATIONS, _FLAT_SHARE = 0.5 * 16**2, 10 * float(np.finfo(np.float32).eps)
"""A window is flat if its sum of squared deviations exceeds neither the first nor this share of its sum of squares, as
in OpenCV."""

_rows, _columns = np.mgrid[:NUM_SHIFTS, :NUM_SHIFTS].reshape(2, -1)
_OUTWARD = np.argsort((_rows - MAX_SHIFT) ** 2 + (_columns - MAX_SHIFT) ** 2, kind="stable")
"""The shifts, row * 13 + column, the smallest first: most frames match at one of those."""

_i, _u, _word = np.int32, np.uint64, np.uint32


@compile_part
def _add(a: Any, b: Any) -> Any:
    """Add in 32 bits. Numba widens sums to 64 bits, which halves the number of lanes."""
    return _word(a + b)


@compile_entry
def average_blocks(grey: Any, averages: Any) -> None:
    """Average blocks of 4 x 4 pixels to uint8 [h, w]. Ties round to even, as in cv2.INTER_AREA.

    grey: uint8 [4 h, 4 w] viewed as uint32 [4 h, w].
    """
    low, byte = _word(0x00FF00FF), _word(8)
    for y in range(averages.shape[0]):
        a, b, c, d = grey[4 * y], grey[4 * y + 1], grey[4 * y + 2], grey[4 * y + 3]
        row = averages[y]
        for x in range(_u(averages.shape[1])):
            # Each half of a word sums two columns of the block.
            halves = _add(_add(a[x] & low, b[x] & low), _add(c[x] & low, d[x] & low))
            ab = _add((a[x] >> byte) & low, (b[x] >> byte) & low)
            cd = _add((c[x] >> byte) & low, (d[x] >> byte) & low)
            halves = _add(halves, _add(ab, cd))
            total = _add(halves & _word(0xFFFF), halves >> _word(16))
            row[x] = np.uint8(_add(_add(total, _word(7)), (total >> _word(4)) & _word(1)) >> _word(4))


@compile_entry
def sample_colours(rgb: Any, colours: Any) -> None:
    """Sample the pixels of a regular grid: uint8 [H, W, 3], in any memory layout, to uint8 [32, 32, 3]."""
    height, width = rgb.shape[:2]
    for row in range(SIDE):
        pixels, sampled = rgb[(row * height + height // 2) // SIDE], colours[row]
        for column in range(_u(SIDE)):
            x = (column * _u(width) + _u(width // 2)) // _u(SIDE)
            for channel in range(_u(3)):
                sampled[column, channel] = pixels[x, channel]


@compile_part
def _is_flat(grey: Any, min_std: float) -> bool:
    """Return whether the standard deviation of the grey values is below `min_std`."""
    total, squares = _i(0), _i(0)
    for y in range(grey.shape[0]):
        row = grey[y]
        for x in range(_u(grey.shape[1])):
            value = _i(row[x])
            total, squares = _i(total + value), _i(squares + _i(value * value))
    return bool(grey.size * np.int64(squares) - np.int64(total) ** 2 < (grey.size * min_std) ** 2)


@compile_entry
def describe(grey: Any, colours: Any, min_std: float, blurred: Any, counts: Any) -> bool:
    """Write blurred and counts; return whether the standard deviation of the grey values is below `min_std`.

    The results are those of cv2.INTER_AREA, a 3 x 3 cv2.GaussianBlur and cv2.calcHist with 8 bins per channel.
    """
    halved = np.empty((SIDE, SIDE + 2), np.int32)
    for y in range(SIDE):
        a, b, row = grey[2 * y], grey[2 * y + 1], halved[y]
        for x in range(_u(SIDE)):
            k = _u(2) * x
            row[x + _u(1)] = (_i(a[k]) + _i(a[k + _u(1)]) + _i(b[k]) + _i(b[k + _u(1)]) + 2) >> 2
        row[0], row[SIDE + 1] = row[2], row[SIDE - 1]
    columns = np.empty(SIDE + 2, np.int32)
    for y in range(SIDE):
        above, here, below = halved[abs(y - 1)], halved[y], halved[y + 1 if y + 1 < SIDE else SIDE - 2]
        for x in range(_u(SIDE + 2)):
            columns[x] = above[x] + 2 * here[x] + below[x]
        for x in range(_u(SIDE)):
            blurred[_u(y * SIDE) + x] = np.int16(columns[x] + 2 * columns[x + _u(1)] + columns[x + _u(2)] - _MID)
    counts[:] = 0
    for y in range(SIDE):
        for x in range(_u(SIDE)):
            red, green, blue = colours[y, x]
            counts[(_u(red) >> _u(5)) << _u(6) | (_u(green) >> _u(5)) << _u(3) | _u(blue) >> _u(5)] += 1
    return bool(_is_flat(grey, min_std))


@compile_part
def cut_centre(blurred: Any) -> Any:
    """Copy the 20 x 20 pixels at the centre to int16 [20 * 32], each row followed by zeros.

    With these strides, the product with a window is one loop over consecutive values.
    """
    centre = np.zeros(_WINDOW * SIDE, np.int16)
    for y in range(_WINDOW):
        for x in range(_WINDOW):
            centre[y * SIDE + x] = blurred[(MAX_SHIFT + y) * SIDE + MAX_SHIFT + x]
    return centre


@compile_part
def sum_centre(centre: Any) -> Any:
    """Return the sums of a centre."""
    total, squares = _i(0), _i(0)
    for k in range(_u(centre.size)):
        value = _i(centre[k])
        total, squares = _i(total + value), _i(squares + _i(value * value))
    return np.int64(total), np.int64(squares)


@compile_part
def sum_windows(blurred: Any) -> Any:
    """Return the sums of every window of 20 x 20 pixels, int64 [13, 13, 2]."""
    sums = np.empty((NUM_SHIFTS, NUM_SHIFTS, 2), np.int64)
    columns, squares = np.empty(SIDE, np.int32), np.empty(SIDE, np.int32)
    for y in range(NUM_SHIFTS):
        columns[:], squares[:] = 0, 0
        for row in range(_u(y), _u(y + _WINDOW)):
            for x in range(_u(SIDE)):
                value = _i(blurred[row * _u(SIDE) + x])
                columns[x] += value
                squares[x] += _i(value * value)
        for x in range(NUM_SHIFTS):
            sums[y, x, 0] = columns[x : x + _WINDOW].sum()
            sums[y, x, 1] = squares[x : x + _WINDOW].sum()
    return sums


@compile_part
def _sum_products(centre: Any, blurred: Any, offset: Any) -> Any:
    """Return the sum of the products of a centre and of the window that begins at `offset`."""
    total = _i(0)
    for k in range(_u((_WINDOW - 1) * SIDE + _WINDOW)):
        total = _i(total + _i(_i(centre[k]) * _i(blurred[offset + k])))
    return np.int64(total)


@compile_part
def correlate(centre: Any, centre_sums: Any, blurred: Any, y: int, x: int, window_sums: Any) -> float:
    """Return the normalised correlation of a centre with the window at (y, x) of another picture, -1 to 1.

    It is cv2.TM_CCOEFF_NORMED without rounding errors: 1 if the centre is flat, and 0 if only the window is.
    """
    centre_deviations = _AREA * centre_sums[1] - centre_sums[0] * centre_sums[0]
    if centre_deviations == 0:
        return 1.0
    window_deviations = _AREA * window_sums[1] - window_sums[0] * window_sums[0]
    squares = window_sums[1] + 2 * _MID * window_sums[0] + _AREA * _MID * _MID
    if window_deviations / _AREA <= min(_FLAT_DEVIATIONS, _FLAT_SHARE * squares):
        return 0.0
    products = _AREA * _sum_products(centre, blurred, _u(y * SIDE + x)) - centre_sums[0] * window_sums[0]
    return float(products / np.sqrt(np.float64(centre_deviations) * np.float64(window_deviations)))


@compile_part
def _measure_overlap(first_counts: Any, second_counts: Any) -> float:
    """Return the colour overlap of two pictures, 0 to 1."""
    shared = _i(0)
    for k in range(_u(first_counts.size)):
        shared = _i(shared + min(first_counts[k], second_counts[k]))
    return shared / (SIDE * SIDE)


@compile_entry
def reaches_threshold(
    first: Any, first_counts: Any, second: Any, second_counts: Any, min_correlation: float, min_similarity: float
) -> bool:
    """Return whether a shift reaches `min_correlation`, or with the colour overlap added `min_similarity`.

    first, second: blurred. The centre of each is compared with every window of the other, up to the first that passes.
    """
    needed = min(min_correlation, min_similarity - _measure_overlap(first_counts, second_counts))
    first_centre, second_centre = cut_centre(first), cut_centre(second)
    first_sums, second_sums = sum_centre(first_centre), sum_centre(second_centre)
    if correlate(first_centre, first_sums, second, MAX_SHIFT, MAX_SHIFT, second_sums) >= needed:
        return True
    first_windows, second_windows = sum_windows(first), sum_windows(second)
    for k in range(len(_OUTWARD)):
        y, x = _OUTWARD[k] // NUM_SHIFTS, _OUTWARD[k] % NUM_SHIFTS
        if correlate(first_centre, first_sums, second, y, x, second_windows[y, x]) >= needed:
            return True
        if correlate(second_centre, second_sums, first, y, x, first_windows[y, x]) >= needed:
            return True
    return False
