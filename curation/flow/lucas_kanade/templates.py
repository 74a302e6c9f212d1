"""Templates: gradients and 2 x 2 system of the window around one corner, at one pyramid level of the source frame.

A template is built once and tracked into every target frame. It holds the window's gradients as int16, in the four
shifts that `curation.flow.lucas_kanade.window_sums` needs, and the 2 x 2 system of Lucas and Kanade (1981) as in
Bouguet (2001). Scale and rounding of the gradients are OpenCV's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curation.flow.reference import WINDOW_PX
from curation.jit import compile_part

PAD = 16
"""Padding of a level, in pixels. A window extends up to WINDOW_PX = 15 beyond the level; 16 keeps rows aligned."""
MIN_EIGENVALUE = 1e-4
MIN_DETERMINANT = 1.1920928955078125e-07

_u = np.uint64
_f = np.float32
_SCALE = 1.0 / (1 << 20)
"""Scale of the 2 x 2 matrix in OpenCV."""
_RESULT = np.uint64(3 * 272)
"""Offset of the second half of the patch: the interpolated values."""


def allocate_buffers() -> tuple[Any, ...]:
    """Allocate the buffers of `build_template`; they are reused for every corner.

    Returns (template, model, patch, columns):

    - template, int16 [8 * 256]: d/dx, then d/dy of the window, 32 times the slope, rounded to integers. Each has four
      copies in 16 x 16 arrays, shifted by (rows, columns) = (0, 0), (0, 1), (1, 0), (1, 1), like the four pixels
      around a subpixel position.
    - model, float64 [5]: elements 11, 12 and 22 of the gradients' 2 x 2 matrix divided by its determinant, and the sums
      over the window of image * d/dx and image * d/dy.
    - patch, float32 [6 * 272], and columns, float64 [80]: working space.
    """
    memory = np.zeros(8 * 256 + 32, np.int16)
    start = (-memory.ctypes.data % 64) // 2  # Loads across cache lines take twice the time.
    template = memory[start : start + 8 * 256]
    return template, np.zeros(5), np.zeros(6 * 272, np.float32), np.zeros(80)


@compile_part
def _sample_gradients(image: Any, y0: int, x0: int, patch: Any) -> None:
    """Write Scharr's d/dx and d/dy (32 times the slope) and the image to the first half of patch, float32 [6 * 272].

    16 x 16 values each, starting at row y0, column x0 of the level. Gradients outside the level are 0.
    """
    num_rows, num_cols = image.shape[0] - 2 * PAD, image.shape[1] - 2 * PAD
    top, left = _u(y0 + PAD - 1), _u(x0 + PAD - 1)
    for j in range(_u(16)):
        for i in range(_u(16)):
            y, x = top + j, left + i
            a0, a1, a2 = _f(image[y, x]), _f(image[y, x + _u(1)]), _f(image[y, x + _u(2)])
            y += _u(1)
            b0, b1, b2 = _f(image[y, x]), _f(image[y, x + _u(1)]), _f(image[y, x + _u(2)])
            y += _u(1)
            c0, c1, c2 = _f(image[y, x]), _f(image[y, x + _u(1)]), _f(image[y, x + _u(2)])
            k = j * _u(16) + i
            patch[k] = _f(3) * ((a2 + c2) - (a0 + c0)) + _f(10) * (b2 - b0)
            patch[k + _u(272)] = _f(3) * ((c0 + c2) - (a0 + a2)) + _f(10) * (c1 - a1)
            patch[k + _u(544)] = b1
    if y0 < 0 or x0 < 0 or y0 + 16 > num_rows or x0 + 16 > num_cols:
        for j in range(16):
            for i in range(16):
                if not (0 <= y0 + j < num_rows and 0 <= x0 + i < num_cols):
                    patch[16 * j + i] = 0.0
                    patch[16 * j + i + 272] = 0.0


@compile_part
def _interpolate_patch(patch: Any, fy: float, fx: float) -> None:
    """Interpolate the patch bilinearly at (fy, fx) into its second half, 15 x 16 values each.

    Gradients are rounded to integers as in OpenCV, and their last column is 0. A corner has integer coordinates at
    level 0, so every value is a multiple of 1/16 below 2**24 / 16, which float32 represents exactly.
    """
    w00, w01 = _f((1.0 - fy) * (1.0 - fx)), _f((1.0 - fy) * fx)
    w10, w11 = _f(fy * (1.0 - fx)), _f(fy * fx)
    for k in range(_u(240)):
        below = k + _u(16)
        gx = w00 * patch[k] + w01 * patch[k + _u(1)] + w10 * patch[below] + w11 * patch[below + _u(1)]
        patch[_RESULT + k] = np.floor(gx + _f(0.5))
    for k in range(_u(272), _u(272 + 240)):
        below = k + _u(16)
        gy = w00 * patch[k] + w01 * patch[k + _u(1)] + w10 * patch[below] + w11 * patch[below + _u(1)]
        patch[_RESULT + k] = np.floor(gy + _f(0.5))
    for k in range(_u(544), _u(544 + 240)):
        below = k + _u(16)
        patch[_RESULT + k] = w00 * patch[k] + w01 * patch[k + _u(1)] + w10 * patch[below] + w11 * patch[below + _u(1)]
    for k in range(_u(15), _u(240), _u(16)):
        patch[_RESULT + k] = _f(0)
        patch[_RESULT + _u(272) + k] = _f(0)


@compile_part
def _sum_products(patch: Any, columns: Any) -> None:
    """Write the sums of gx * gx, gx * gy, gy * gy, I * gx and I * gy over each column to columns, float64 [5 * 16].

    All sums are exact.
    """
    for i in range(_u(80)):
        columns[i] = 0.0
    for j in range(_u(15)):
        row = _RESULT + j * _u(16)
        for i in range(_u(16)):
            k = row + i
            gx, gy = np.float64(patch[k]), np.float64(patch[k + _u(272)])
            brightness = np.float64(patch[k + _u(544)])
            columns[i] += gx * gx
            columns[i + _u(16)] += gx * gy
            columns[i + _u(32)] += gy * gy
            columns[i + _u(48)] += brightness * gx
            columns[i + _u(64)] += brightness * gy


@compile_part
def _shift_copies(gradients: Any, template: Any) -> None:
    """Write each gradient to template four times: unshifted, one column right, one row down, and both."""
    for half in range(_u(2)):
        base, origin = half * _u(1024), _RESULT + half * _u(272)
        for k in range(_u(240)):
            template[base + k] = np.int16(gradients[origin + k])
        for k in range(_u(240)):
            template[base + _u(256 + 1) + k] = template[base + k]
        for k in range(_u(240)):
            template[base + _u(512 + 16) + k] = template[base + k]
        for k in range(_u(239)):
            template[base + _u(768 + 17) + k] = template[base + k]


@compile_part
def build_template(image: Any, y: float, x: float, buffers: Any) -> bool:
    """Build the template of one corner at one level; return False if the window has too little texture to track.

    image: padded level, uint8 [rows + 2 PAD, cols + 2 PAD]. y, x: top left of the window, in pixels of the level.
    buffers: see `allocate_buffers`; writes template and model.
    """
    template, model, patch, columns = buffers
    y0, x0 = int(np.floor(y)), int(np.floor(x))
    _sample_gradients(image, y0, x0, patch)
    _interpolate_patch(patch, y - y0, x - x0)
    _sum_products(patch, columns)
    a11, a12, a22 = columns[0:16].sum(), columns[16:32].sum(), columns[32:48].sum()
    a11, a12, a22 = a11 * _SCALE, a12 * _SCALE, a22 * _SCALE
    determinant = a11 * a22 - a12 * a12
    spread = np.sqrt((a11 - a22) * (a11 - a22) + 4.0 * a12 * a12)
    min_eigenvalue = (a22 + a11 - spread) / (2 * WINDOW_PX * WINDOW_PX)
    if min_eigenvalue < MIN_EIGENVALUE or determinant < MIN_DETERMINANT:
        return False
    _shift_copies(patch, template)
    scale = 32.0 * _SCALE / determinant  # Gradients are 32 times the slope.
    model[0], model[1], model[2] = a11 * scale, a12 * scale, a22 * scale
    model[3], model[4] = columns[48:64].sum(), columns[64:80].sum()
    return True
