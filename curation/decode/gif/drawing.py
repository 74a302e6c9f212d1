"""The canvas that the frames of a GIF are drawn on, compiled.

It holds colours on white: what no frame covers is transparent in a browser, so it is white here. It lies on its side,
one line per column of the picture, because the resize sums columns first (`curation.decode.lanczos`).

    pixels: uint32 [COLUMNS, STRIDE], COLUMNS >= W, STRIDE >= H; a colour is R | G << 8 | B << 16
    palette: uint32 [256]
    rectangle: int64 [4], left, top, right, bottom; inside the canvas
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.decode.gif.lzw import PREFIX
from curation.decode.vectors import COLUMNS, pad
from curation.jit import compile_entry, compile_part

WHITE = 0xFFFFFF
_LINE = 16
"""Pixels in a cache line."""

_u = np.uint64


def allocate_pixels(width: int, height: int) -> NDArray[np.uint32]:
    """Allocate a white canvas.

    The stride is an odd number of cache lines. Drawing a row of a frame writes to each line of the canvas in turn, and
    with a stride of a power of two these would compete for the same place in the cache.
    """
    stride = (height + _LINE - 1) // _LINE | 1
    return np.full((pad(width, COLUMNS), stride * _LINE), WHITE, np.uint32)


@compile_part
def read_palette(data: Any, at: Any, num_colours: Any, palette: Any) -> None:
    """Read a palette of the file. Colours that are missing are black; without a palette, at == 0, all are grey."""
    for k in range(_u(256)):
        if at == _u(0):
            palette[k] = k | k << _u(8) | k << _u(16)
        elif k < num_colours:
            place = at + _u(3) * k
            palette[k] = (
                np.uint32(data[place])
                | np.uint32(data[place + _u(1)]) << np.uint32(8)
                | np.uint32(data[place + _u(2)]) << np.uint32(16)
            )
        else:
            palette[k] = 0


@compile_part
def find_row(row: Any, height: Any) -> Any:
    """Return which row of an interlaced frame's data holds a row of the frame.

    The data hold rows 0, 8, 16 ..., then 4, 12, 20 ..., then 2, 6, 10 ..., then 1, 3, 5 ...
    """
    first, second, third = (height + _u(7)) >> _u(3), (height + _u(3)) >> _u(3), (height + _u(1)) >> _u(2)
    if row & _u(7) == _u(0):
        return row >> _u(3)
    if row & _u(3) == _u(0):
        return first + (row >> _u(3))
    if row & _u(1) == _u(0):
        return first + second + (row >> _u(2))
    return first + second + third + (row >> _u(1))


@compile_part
def draw(
    output: Any, width: Any, height: Any, interlaced: Any, palette: Any, transparent: Any, rectangle: Any, pixels: Any
) -> None:
    """Draw the visible part of a frame of width x height colour indices, output[PREFIX:].

    transparent: the index that is not drawn, 256 for none.
    """
    left, top, right, bottom = rectangle
    for y in range(bottom - top):
        stored = find_row(y, height) if interlaced else y
        start = _u(PREFIX) + stored * width
        if transparent == _u(256):
            for x in range(right - left):
                pixels[left + x, top + y] = palette[output[start + x]]
        else:
            for x in range(right - left):
                index = _u(output[start + x])
                below = pixels[left + x, top + y]
                pixels[left + x, top + y] = below if index == transparent else palette[index]


@compile_entry
def fill(pixels: Any, rectangle: Any, saved: Any, restores: Any) -> None:
    """Set a rectangle to white, or to what `saved` holds there."""
    left, top, right, bottom = rectangle
    for x in range(left, right):
        for y in range(top, bottom):
            pixels[x, y] = saved[x, y] if restores else np.uint32(WHITE)
