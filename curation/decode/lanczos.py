"""Pillow's Lanczos resampling, repeated to the bit in compiled code at a fifth of its time.

Pillow resamples in whole numbers: weights of 22 bits after the point, 32-bit sums, one rounding after each direction.
So the same sums give the same bytes, whatever instructions make them. That they do is not taken on trust: `resize`
compares the first picture of every size with Pillow's own, and leaves a size at which they differ to Pillow.
"""

import functools
import math
from typing import Any

import cv2
import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from curation.jit import compile_entry, compile_part

_PRECISION_BITS = 32 - 8 - 2
_SUPPORT = 3.0
_PILLOW = int(PIL.__version__.partition(".")[0])

Pixels = NDArray[np.uint8]
_i = np.int32

_sizes_as_pillow: dict[tuple[tuple[int, ...], int], bool] = {}
"""(shape, side): whether the compiled way gave Pillow's bytes, for the sizes that this process has met."""


def resize(pixels: Pixels, side: int) -> Pixels:
    """Resize RGB pixels, uint8 [H, W, 3], to [side, side, 3] as Pillow's LANCZOS does, to the bit."""
    size = (pixels.shape, side)
    if size in _sizes_as_pillow:
        return resample(pixels, side) if _sizes_as_pillow[size] else _resize_by_pillow(pixels, side)
    expected = _resize_by_pillow(pixels, side)
    _sizes_as_pillow[size] = np.array_equal(expected, resample(pixels, side))
    return expected


def resample(pixels: Pixels, side: int) -> Pixels:
    """Resize as `resize`, in compiled code without a comparison."""
    height, width = pixels.shape[:2]
    # The order decides the rounding. These are Pillow's, before 13 and since, found by trial on thousands of sizes.
    is_tall = height > 2 * width - side if _PILLOW >= 13 else height > 100 * width
    if height > side and is_tall:
        return _resample_width(_resample_height(pixels, side), side)
    return _resample_height(_resample_width(pixels, side), side)


def _resize_by_pillow(pixels: Pixels, side: int) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS))


def _resample_width(pixels: Pixels, side: int) -> Pixels:
    if pixels.shape[1] == side:
        return pixels
    # On its side the width is a height, and whole rows are mixed by one weight: vectors.
    return cv2.transpose(_resample_height(cv2.transpose(pixels), side))  # type: ignore[return-value, arg-type]


def _resample_height(pixels: Pixels, side: int) -> Pixels:
    height, width = pixels.shape[:2]
    if height == side:
        return pixels
    mixed = np.empty((side, width, 3), np.uint8)
    rows = np.ascontiguousarray(pixels).reshape(height, -1)
    _mix_rows(rows, *lanczos_weights(height, side), mixed.reshape(side, -1))
    return mixed


@functools.lru_cache(maxsize=64)
def lanczos_weights(size: int, side: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Compute, for each place of the result, the first place it draws from, how many, and their weights.

    int64 [side], int64 [side], int32 [side, most]; whole numbers of 2**-22, rounded as Pillow rounds them.
    """
    scale = size / side
    stretch = max(scale, 1.0)
    support = _SUPPORT * stretch
    starts, lengths = np.zeros(side, np.int64), np.zeros(side, np.int64)
    weights = np.zeros((side, math.ceil(support) * 2 + 1), np.int32)
    for place in range(side):
        center = (place + 0.5) * scale
        start, stop = max(int(center - support + 0.5), 0), min(int(center + support + 0.5), size)
        row = [_lanczos((x - center + 0.5) * (1.0 / stretch)) for x in range(start, stop)]
        total = 0.0
        for weight in row:  # One after the other: another order may round otherwise.
            total += weight
        for k, weight in enumerate(row):
            scaled = weight / total * (1 << _PRECISION_BITS)
            weights[place, k] = int(scaled - 0.5) if scaled < 0 else int(scaled + 0.5)
        starts[place], lengths[place] = start, stop - start
    return starts, lengths, weights


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / _SUPPORT) if -_SUPPORT <= x < _SUPPORT else 0.0


def _sinc(x: float) -> float:
    return math.sin(x * math.pi) / (x * math.pi) if x != 0.0 else 1.0


@compile_part
def _round_pixel(total: Any) -> Any:
    return np.uint8(min(max(_i(total >> _i(_PRECISION_BITS)), _i(0)), _i(255)))


@compile_entry
def _mix_rows(pixels: Any, starts: Any, lengths: Any, weights: Any, mixed: Any) -> None:
    """Write every row of `mixed`, uint8 [side, N], as a weighted sum of rows of `pixels`, uint8 [H, N]."""
    num = np.uint64(pixels.shape[1])
    totals = np.empty(pixels.shape[1], np.int32)
    for y in range(starts.shape[0]):
        totals[:] = 1 << (_PRECISION_BITS - 1)
        for t in range(lengths[y]):
            row, weight = pixels[starts[y] + t], weights[y, t]
            for x in range(num):
                totals[x] = _i(totals[x] + _i(weight * _i(row[x])))
        out = mixed[y]
        for x in range(num):
            out[x] = _round_pixel(totals[x])
