"""Unaligned loads and copies of several bytes, in a third of the time of Numba's loops over bytes.

They do not check bounds: callers guarantee that `SLACK` bytes follow the last byte that counts. With
NUMBA_BOUNDSCHECK=1 the plain versions run, which do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from curation.jit import CHECKS_BOUNDS, compile_part

SLACK = 64
"""Bytes behind a buffer that may be read or overwritten."""

_BYTE, _WORD, _BLOCK = ir.IntType(8), ir.IntType(64), ir.VectorType(ir.IntType(8), 16)


def _point(context: Any, builder: Any, array_type: Any, array: Any, offset: Any, kind: Any) -> Any:
    """Return a pointer to `kind` at a byte offset of a uint8 array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), kind.as_pointer())


@intrinsic
def _load_word_fast(typingctx: Any, source: Any, at: Any) -> Any:
    """Return the 8 bytes at source[at:], uint64, little-endian."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_point(context, builder, signature.args[0], args[0], args[1], _WORD), align=1)

    return types.uint64(source, types.uint64), codegen


@intrinsic
def _copy_16_fast(typingctx: Any, buffer: Any, to: Any, at: Any) -> Any:
    """Copy buffer[at : at + 16] to buffer[to : to + 16], as if through a register."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source = _point(context, builder, signature.args[0], args[0], args[2], _BLOCK)
        target = _point(context, builder, signature.args[0], args[0], args[1], _BLOCK)
        builder.store(builder.load(source, align=1), target, align=1)
        return context.get_dummy_value()

    return types.void(buffer, types.uint64, types.uint64), codegen


@compile_part
def _load_word_plain(source: Any, at: Any) -> Any:
    word = np.uint64(0)
    for k in range(8):
        word |= np.uint64(source[at + np.uint64(k)]) << np.uint64(8 * k)
    return word


@compile_part
def _copy_16_plain(buffer: Any, to: Any, at: Any) -> None:
    block = buffer[at : at + np.uint64(16)].copy()
    for k in range(16):
        buffer[to + np.uint64(k)] = block[k]


load_word: Any = _load_word_plain if CHECKS_BOUNDS else _load_word_fast
copy_16: Any = _copy_16_plain if CHECKS_BOUNDS else _copy_16_fast
