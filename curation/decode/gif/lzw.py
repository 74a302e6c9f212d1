"""Decompress the LZW data of a frame (GIF89a specification, appendix F), compiled.

The dictionary is the output: every entry repeats earlier output, so an entry is one word, `offset << 16 | length`, and
a code is expanded by copying 16 bytes at a time. The literals are a prefix of the output buffer.

    data: uint8 [N], the file; SLACK bytes follow the last block
    packed: uint8, the frame's data without the sub-blocks' lengths; at least as long as the file
    entries: uint64 [NUM_ENTRIES]
    output: uint8 [PREFIX + num_pixels + LONGEST_ENTRY + SLACK], the literals, then the pixels' colour indices
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curation.decode.gif.memory import SLACK, copy_16, load_word
from curation.jit import compile_part

MAX_CODE_SIZE = 11
"""Largest minimum code size that browsers accept."""
PREFIX = 1 << MAX_CODE_SIZE
MAX_WIDTH = 12
NUM_ENTRIES = (1 << MAX_WIDTH) + 1
LONGEST_ENTRY = 1 << MAX_WIDTH

COMPLETE, TRUNCATED, ENDS_EARLY, INVALID_CODE = 0, 1, 2, 3

_u = np.uint64
_0, _1, _16 = _u(0), _u(1), _u(16)


def allocate_output(num_pixels: int) -> Any:
    """Allocate an output buffer, uint8, with the literals in place."""
    output = np.empty(PREFIX + num_pixels + LONGEST_ENTRY + SLACK, np.uint8)
    output[:PREFIX] = np.arange(PREFIX) & 255
    return output


@compile_part
def join_sub_blocks(data: Any, at: Any, packed: Any) -> Any:
    """Join the sub-blocks from data[at] on, up to the terminator or the end of the file.

    Returns the number of bytes, and whether the last sub-block is whole. Only the terminator may be missing.
    """
    end, size = _u(data.shape[0]) - _u(SLACK), _0
    while at < end and data[at] != 0:
        length = _u(data[at])
        if length >= end - at:
            return size, False
        for k in range(length):
            packed[size + k] = data[at + _1 + k]
        size += length
        at += _1 + length
    return size, True


@compile_part
def _extend(free: Any, clear: Any, width: Any) -> Any:
    """Return the next free entry and the width of the next code, after a code that was expanded."""
    if free == clear:  # The first code after a clear code adds no entry.
        return clear + _u(2), width
    if free < _u(1 << MAX_WIDTH):
        free += _1
        if free == _1 << width and width < _u(MAX_WIDTH):
            width += _1
    return free, width


@compile_part
def decompress(packed: Any, num_bytes: Any, code_size: Any, num_pixels: Any, entries: Any, output: Any) -> Any:
    """Write the colour indices of a frame to output[PREFIX:]; return COMPLETE or what is wrong with the data.

    code_size: the minimum code size, 1 to MAX_CODE_SIZE. A full dictionary is kept until the next clear code. Data
    after the last pixel is ignored.
    """
    clear = _1 << code_size
    end_code = clear + _1
    for k in range(clear):  # A frame before may have used these entries.
        entries[k] = k << _16 | _1
    num_bits = num_bytes << _u(3)
    free, width, bit = clear, code_size + _1, _0  # free == clear: only literals are valid.
    at = _u(PREFIX)
    end = at + num_pixels
    while at < end:
        if bit + width > num_bits:
            return ENDS_EARLY
        code = (load_word(packed, bit >> _u(3)) >> (bit & _u(7))) & ((_1 << width) - _1)
        bit += width
        if code == clear:
            free, width = clear, code_size + _1
            continue
        if code == end_code:
            return ENDS_EARLY
        if code > free:
            return INVALID_CODE
        entry = entries[code]
        source, length = entry >> _16, entry & _u(0xFFFF)
        copy_16(output, at, source)
        for k in range(_16, length, _16):
            copy_16(output, at + k, source + k)
        if code == free:  # The entry repeats the previous one and its first byte, which is not in the output yet.
            output[at + length - _1] = output[source]
        free, width = _extend(free, clear, width)
        entries[free] = at << _16 | (length + _1)
        at += length
    return COMPLETE
