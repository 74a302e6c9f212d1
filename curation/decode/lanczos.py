"""Lanczos resampling, compiled: bit-identical to Pillow's in a fifth of the time.

Pillow resamples in fixed point: weights with 22 fractional bits, int32 sums, one rounding per direction. The same sums
give the same bytes with any instruction set. This is verified at run time: `resize` compares the first picture of each
size with Pillow's result, and uses Pillow for a size where they differ.
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

_FRACTION_BITS = 32 - 8 - 2
_SUPPORT = 3.0
_PILLOW_MAJOR = int(PIL.__version__.partition(".")[0])

Pixels = NDArray[np.uint8]
_i = np.int32

_matches_pillow: dict[tuple[tuple[int, ...], int], bool] = {}
"""By (shape, side), for the sizes seen by this process: whether the compiled result equals Pillow's."""


def resize(pixels: Pixels, side: int) -> Pixels:
    """Resize RGB pixels, uint8 [H, W, 3], to [side, side, 3]: bit-identical to Pillow's LANCZOS."""
    size = (pixels.shape, side)
    if size in _matches_pillow:
        return resample(pixels, side) if _matches_pillow[size] else _resize_with_pillow(pixels, side)
    expected = _resize_with_pillow(pixels, side)
    _matches_pillow[size] = np.array_equal(expected, resample(pixels, side))
    return expected


def warm_up() -> None:
    """Compile or load the resampling code before the first frame is resized."""
    resize(np.zeros((9, 9, 3), np.uint8), 16)


def resample(pixels: Pixels, side: int) -> Pixels:
    """Resize like `resize`, without comparing to Pillow."""
    height, width = pixels.shape[:2]
    # Each direction rounds, so their order matters. These rules reproduce Pillow on thousands of sizes.
    is_tall = height > 2 * width - side if _PILLOW_MAJOR >= 13 else height > 100 * width
    if height > side and is_tall:
        return _resample_width(_resample_height(pixels, side), side)
    return _resample_height(_resample_width(pixels, side), side)


def _resize_with_pillow(pixels: Pixels, side: int) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS))


def _resample_width(pixels: Pixels, side: int) -> Pixels:
    if pixels.shape[1] == side:
        return pixels
    # Transposed, one weight applies to a whole row, which vectorises.
    return cv2.transpose(_resample_height(cv2.transpose(pixels), side))  # type: ignore[return-value, arg-type]


def _resample_height(pixels: Pixels, side: int) -> Pixels:
    height, width = pixels.shape[:2]
    if height == side:
        return pixels
    resampled = np.empty((side, width, 3), np.uint8)
    rows = np.ascontiguousarray(pixels).reshape(height, -1)
    _sum_rows(rows, *compute_weights(height, side), resampled.reshape(side, -1))
    return resampled


@functools.lru_cache(maxsize=64)
def compute_weights(size: int, side: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Compute the weights that reduce or enlarge `size` input rows to `side` output rows.

    Returns, for each output row, the first input row, int64 [side], the number of input rows, int64 [side], and their
    weights, int32 [side, K], fixed-point with 22 fractional bits, rounded as Pillow rounds them.
    """
    scale = size / side
    stretch = max(scale, 1.0)
    support = _SUPPORT * stretch
    starts, lengths = np.zeros(side, np.int64), np.zeros(side, np.int64)
    weights = np.zeros((side, math.ceil(support) * 2 + 1), np.int32)
    for y in range(side):
        center = (y + 0.5) * scale
        start, stop = max(int(center - support + 0.5), 0), min(int(center + support + 0.5), size)
        row = [_lanczos((x - center + 0.5) * (1.0 / stretch)) for x in range(start, stop)]
        total = 0.0
        for weight in row:  # Not sum(): from Python 3.12 on it compensates rounding errors, which Pillow does not.
            total += weight
        for k, weight in enumerate(row):
            scaled = weight / total * (1 << _FRACTION_BITS)
            weights[y, k] = int(scaled - 0.5) if scaled < 0 else int(scaled + 0.5)
        starts[y], lengths[y] = start, stop - start
    return starts, lengths, weights


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / _SUPPORT) if -_SUPPORT <= x < _SUPPORT else 0.0


def _sinc(x: float) -> float:
    return math.sin(x * math.pi) / (x * math.pi) if x != 0.0 else 1.0


@compile_part
def _round_pixel(total: Any) -> Any:
    return np.uint8(min(max(_i(total >> _i(_FRACTION_BITS)), _i(0)), _i(255)))


@compile_entry
def _sum_rows(pixels: Any, starts: Any, lengths: Any, weights: Any, resampled: Any) -> None:
    """Write each row of `resampled`, uint8 [side, N], as a weighted sum of rows of `pixels`, uint8 [H, N].

    starts, lengths, weights: as returned by `compute_weights`.
    """
    num = np.uint64(pixels.shape[1])
    totals = np.empty(pixels.shape[1], np.int32)
    for y in range(starts.shape[0]):
        totals[:] = 1 << (_FRACTION_BITS - 1)
        for t in range(lengths[y]):
            row, weight = pixels[starts[y] + t], weights[y, t]
            for x in range(num):
                totals[x] = _i(totals[x] + _i(weight * _i(row[x])))
        out = resampled[y]
        for x in range(num):
            out[x] = _round_pixel(totals[x])
