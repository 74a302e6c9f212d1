"""Vector operations of the resize, which Numba does not emit by itself: written out in LLVM IR that names no processor.

None checks bounds. With NUMBA_BOUNDSCHECK=1 the plain versions run, which do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from curation.jit import CHECKS_BOUNDS, compile_part

BLOCK = 32
"""Bytes of a line that `add_lines` sums in registers."""
COLUMNS = 16
"""Columns that `transpose_block` moves together."""
_ROUND, _SHIFT = 1 << 21, 22


def pad(size: int, multiple: int) -> int:
    """Round up to a multiple."""
    return (size + multiple - 1) // multiple * multiple


_i8, _i32, _i64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def _data(context: Any, builder: Any, signature: Any, args: Any, index: int) -> Any:
    return context.make_array(signature.args[index])(context, builder, args[index]).data


@intrinsic
def _add_lines_fast(
    typingctx: Any, source: Any, first: Any, stride: Any, weights: Any, num_lines: Any, target: Any, place: Any
) -> Any:
    signature = types.void(source, types.uint64, types.uint64, weights, types.uint64, target, types.uint64)
    narrow, wide = ir.VectorType(_i8, BLOCK), ir.VectorType(_i32, BLOCK)

    def splat(value: int) -> Any:
        return ir.Constant(wide, [value] * BLOCK)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data, factors = (_data(context, builder, signature, args, k) for k in (0, 3))
        out = builder.gep(_data(context, builder, signature, args, 5), [args[6]])
        before = builder.block
        loop, after = builder.append_basic_block("line"), builder.append_basic_block("end")
        start = builder.gep(data, [args[1]])
        builder.branch(loop)
        builder.position_at_end(loop)
        k, line, total = builder.phi(_i64), builder.phi(_i8.as_pointer()), builder.phi(wide)
        pixels = builder.zext(builder.load(builder.bitcast(line, narrow.as_pointer()), align=1), wide)
        factor = builder.load(builder.gep(factors, [k]))
        single = builder.insert_element(ir.Constant(wide, ir.Undefined), factor, _i32(0))
        every = builder.shuffle_vector(single, ir.Constant(wide, ir.Undefined), splat(0))
        added = builder.add(total, builder.mul(pixels, every))
        following = builder.add(k, _i64(1))
        for phi, initial, later in (
            (k, _i64(0), following),
            (line, start, builder.gep(line, [args[2]])),
            (total, splat(_ROUND), added),
        ):
            phi.add_incoming(initial, before)
            phi.add_incoming(later, builder.block)
        builder.cbranch(builder.icmp_unsigned("<", following, args[4]), loop, after)
        builder.position_at_end(after)
        rounded = builder.ashr(added, splat(_SHIFT))
        rounded = builder.select(builder.icmp_signed("<", rounded, splat(0)), splat(0), rounded)
        rounded = builder.select(builder.icmp_signed(">", rounded, splat(255)), splat(255), rounded)
        builder.store(builder.trunc(rounded, narrow), builder.bitcast(out, narrow.as_pointer()), align=1)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _transpose_block_fast(
    typingctx: Any, source: Any, first: Any, stride: Any, target: Any, place: Any, row: Any, plane: Any
) -> Any:
    """Move 4 pixels of 16 columns, source[first + k * stride :], to 4 rows of each plane, target[place :]."""
    signature = types.void(source, *[types.uint64] * 2, target, *[types.uint64] * 3)
    vector = ir.VectorType(_i8, 16)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data, out = (_data(context, builder, signature, args, k) for k in (0, 3))
        lines = []
        for k in range(16):
            offset = builder.add(args[1], builder.mul(args[2], _i64(k)))
            lines.append(builder.load(builder.bitcast(builder.gep(data, [offset]), vector.as_pointer()), align=1))
        halves = [
            ir.Constant(ir.VectorType(_i32, 16), [n for k in range(8) for n in (k + start, k + start + 16)])
            for start in (0, 8)
        ]
        for _ in range(4):  # Interleaving the first and second half of 16 vectors four times transposes them.
            lines = [builder.shuffle_vector(lines[k], lines[k + 8], half) for k in range(8) for half in halves]
        for k, line in enumerate(lines):
            y, channel = divmod(k, 4)
            if channel == 3:
                continue
            offset = builder.add(builder.mul(args[5], _i64(y)), builder.mul(args[6], _i64(channel)))
            pointer = builder.gep(out, [builder.add(args[4], offset)])
            builder.store(line, builder.bitcast(pointer, vector.as_pointer()), align=1)
        return context.get_dummy_value()

    return signature, codegen


@compile_part
def _add_lines_plain(
    source: Any, first: Any, stride: Any, weights: Any, num_lines: Any, target: Any, place: Any
) -> None:
    """Write a weighted sum of `num_lines` lines, BLOCK bytes each, rounded and clipped to 0 to 255."""
    for x in range(np.uint64(BLOCK)):
        total = np.int32(_ROUND)
        for k in range(num_lines):
            total += np.int32(source[first + k * stride + x]) * weights[k]
        grey: Any = total >> np.int32(_SHIFT)
        target[place + x] = np.uint8(min(max(grey, 0), 255))


@compile_part
def _transpose_block_plain(source: Any, first: Any, stride: Any, target: Any, place: Any, row: Any, plane: Any) -> None:
    """Move 4 pixels of 16 columns, source[first + k * stride :], to 4 rows of each plane, target[place :]."""
    for x in range(np.uint64(COLUMNS)):
        for y in range(np.uint64(4)):
            for channel in range(np.uint64(3)):
                pixel = source[first + x * stride + np.uint64(4) * y + channel]
                target[place + channel * plane + y * row + x] = pixel


add_lines: Any = _add_lines_plain if CHECKS_BOUNDS else _add_lines_fast
transpose_block: Any = _transpose_block_plain if CHECKS_BOUNDS else _transpose_block_fast
