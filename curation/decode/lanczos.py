"""Lanczos resampling of a canvas that lies on its side, compiled: to planes of red, green and blue, and to grey.

docs/dataset.md defines the result by its integer arithmetic: weights with 22 fractional bits, int32 sums, one rounding
per direction, columns first. It is the same with any instruction set.

    canvas: uint8 [COLUMNS, 4 * STRIDE], four bytes per pixel, as in `curation.decode.gif.canvas`
    planes: uint8 [3, H, ROW]; rows are padded to a multiple of BLOCK bytes
    grey: uint8 [H, ROW]
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.decode.vectors import BLOCK, COLUMNS, add_lines, pad, transpose_block
from curation.jit import compile_entry, compile_part

FRACTION_BITS = 22
_SUPPORT = 3.0
_u = np.uint64


class Resizer:
    """Resize canvases of one size to one size, without cropping."""

    def __init__(self, size: tuple[int, int], target: tuple[int, int]) -> None:
        """Set the (width, height) of the canvas and of the result."""
        self._height, self._target = size[1], target
        self._columns, self._rows = (compute_weights(*sides) for sides in zip(size, target, strict=True))
        row = pad(target[0], BLOCK)
        self._tall = np.empty((3, pad(size[1], 4), row), np.uint8)
        self._planes = np.empty((3, target[1], row), np.uint8)
        self._lines = np.empty((0, 0), np.uint8)

    def resize(self, pixels: NDArray[np.uint32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Resize a canvas, uint32 [COLUMNS, STRIDE]; see `curation.decode.gif.drawing`.

        Returns red, green and blue, uint8 [3, H, W], which the next call overwrites, and grey, uint8 [H, W].
        """
        width, height = self._target
        canvas = pixels.view(np.uint8)
        if not self._lines.size:
            self._lines = np.empty((pad(width, COLUMNS), canvas.shape[1]), np.uint8)
        grey = np.empty((height, width), np.uint8)
        _resize(canvas, self._columns, self._rows, self._height, self._lines, self._tall, self._planes, grey)
        return self._planes[:, :, :width], grey


@functools.lru_cache(maxsize=64)
def compute_weights(size: int, target: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Compute the weights that resample `size` lines to `target` lines; empty if the sizes are equal.

    Returns, for each output line, the first input line, int64 [target], the number of input lines, int64 [target], and
    their weights, int32 [target, K], with 22 fractional bits.
    """
    if size == target:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 0), np.int32)
    scale = size / target
    stretch = max(scale, 1.0)
    support = _SUPPORT * stretch
    starts, lengths = np.zeros(target, np.int64), np.zeros(target, np.int64)
    weights = np.zeros((target, math.ceil(support) * 2 + 1), np.int32)
    for y in range(target):
        center = (y + 0.5) * scale
        start, stop = max(int(center - support + 0.5), 0), min(int(center + support + 0.5), size)
        row = [_lanczos((x - center + 0.5) * (1.0 / stretch)) for x in range(start, stop)]
        total = 0.0
        for weight in row:  # Not sum(): from Python 3.12 on it compensates rounding errors.
            total += weight
        for k, weight in enumerate(row):
            scaled = weight / total * (1 << FRACTION_BITS)
            weights[y, k] = int(scaled - 0.5) if scaled < 0 else int(scaled + 0.5)
        starts[y], lengths[y] = start, stop - start
    return starts, lengths, weights


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / _SUPPORT) if -_SUPPORT <= x < _SUPPORT else 0.0


def _sinc(x: float) -> float:
    return math.sin(x * math.pi) / (x * math.pi) if x != 0.0 else 1.0


@compile_part
def _resample(source: Any, first: Any, stride: Any, size: Any, plan: Any, target: Any, place: Any, step: Any) -> None:
    """Write each output line, `size` bytes, as a weighted sum of input lines.

    source, target: uint8 [N], flat. first, stride: offset of input line 0, and from one line to the next. place, step:
    the same for the output.
    """
    starts, lengths, weights = plan
    for y in range(starts.shape[0]):
        begin, out = first + _u(starts[y]) * stride, place + _u(y) * step
        for k in range(_u(0), size, _u(BLOCK)):
            add_lines(source, begin + k, stride, weights[y], _u(lengths[y]), target, out + k)


@compile_part
def _to_grey(planes: Any, grey: Any) -> None:
    """Compute grey as OpenCV's RGB2GRAY does: weights with 15 fractional bits."""
    for y in range(_u(grey.shape[0])):
        red, green, blue, out = planes[0, y], planes[1, y], planes[2, y], grey[y]
        for x in range(_u(grey.shape[1])):
            total = np.int32(red[x]) * np.int32(9798) + np.int32(green[x]) * np.int32(19235)
            out[x] = np.uint8((total + np.int32(blue[x]) * np.int32(3735) + np.int32(1 << 14)) >> np.int32(15))


@compile_part
def _transpose(columns: Any, num_rows: Any, planes: Any) -> None:
    """Write pixels that lie on their side, uint8 [COLUMNS, 4 * STRIDE], to planes, uint8 [3, rows, ROW]."""
    stride, row, plane = _u(columns.shape[1]), _u(planes.shape[2]), _u(planes.shape[1]) * _u(planes.shape[2])
    source, target = columns.reshape(-1), planes.reshape(-1)
    for x in range(_u(0), min(_u(columns.shape[0]), row), _u(COLUMNS)):
        for y in range(_u(0), num_rows, _u(4)):
            transpose_block(source, x * stride + _u(4) * y, stride, target, y * row + x, row, plane)


@compile_entry
def _resize(
    canvas: Any, x_weights: Any, y_weights: Any, num_rows: Any, lines: Any, tall: Any, planes: Any, grey: Any
) -> None:
    """Resample the columns of the canvas into `lines`, transpose them into `tall`, resample its rows into `planes`.

    x_weights, y_weights: of `compute_weights`. num_rows: the canvas's height. lines: uint8 [COLUMNS, 4 * STRIDE].
    tall: planes with `num_rows` rows, padded to a multiple of 4.
    """
    stride, row, height = _u(canvas.shape[1]), _u(planes.shape[2]), _u(planes.shape[1])
    if x_weights[0].shape[0] > 0:
        used = (_u(4) * _u(num_rows) + _u(BLOCK) - _u(1)) // _u(BLOCK) * _u(BLOCK)
        _resample(canvas.reshape(-1), _u(0), stride, used, x_weights, lines.reshape(-1), _u(0), stride)
        _transpose(lines, _u(num_rows), tall)
    else:
        _transpose(canvas, _u(num_rows), tall)
    for c in range(_u(3)):
        if y_weights[0].shape[0] > 0:
            plane = _u(tall.shape[1]) * row
            _resample(tall.reshape(-1), c * plane, row, row, y_weights, planes.reshape(-1), c * height * row, row)
        else:
            planes[c] = tall[c, :height]
    _to_grey(planes, grey)
