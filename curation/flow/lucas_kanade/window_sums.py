"""Sums of products of a target window and a template, computed once per cell of the pixel grid.

Bilinear interpolation is linear in the four pixels around a position. The mismatch of source and target at any
subpixel position in a cell therefore follows from eight sums over whole pixels: four shifts times two gradients. They
are computed when a window enters a cell, not in every iteration. The sums are integers, so they are exact in any
order and on every machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from curation.jit import CHECKS_BOUNDS, compile_part


def _emit_window_sums(builder: Any, corner: Any, stride: Any, template: Any) -> Any:
    """Emit LLVM code for the eight sums of 16 x 16 products, <8 x i32>; see `sum_windows_plain`.

    Two rows of the window fill a vector of 32 int16. Multiplying int16 vectors and adding neighbouring products is one
    instruction (vpmaddwd, vpdpwssd) on processors that have it, and separate ones elsewhere.
    """
    i8, i16, i32, i64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))

    def lanes(numbers: range) -> Any:
        return ir.Constant(ir.VectorType(i32, len(numbers)), list(numbers))

    def load(pointer: Any, element: Any, count: int, align: int) -> Any:
        return builder.load(builder.bitcast(pointer, ir.VectorType(element, count).as_pointer()), align=align)

    def add_neighbours(a: Any, b: Any, count: int) -> Any:
        even, odd = lanes(range(0, count, 2)), lanes(range(1, count, 2))
        return builder.add(builder.shuffle_vector(a, b, even), builder.shuffle_vector(a, b, odd))

    wide = ir.VectorType(i32, 32)
    rows = [load(builder.gep(corner, [builder.mul(stride, i64(y))]), i8, 16, 1) for y in range(16)]
    pixels = [
        builder.zext(builder.shuffle_vector(rows[y], rows[y + 1], lanes(range(32))), wide) for y in range(0, 16, 2)
    ]
    sums = []
    for which in range(8):
        total = None
        for pair in range(8):
            weights = load(builder.gep(template, [i64(which * 256 + pair * 32)]), i16, 32, 2)
            product = builder.mul(pixels[pair], builder.sext(weights, wide))
            paired = add_neighbours(product, ir.Constant(wide, ir.Undefined), 32)
            total = paired if total is None else builder.add(total, paired)
        sums.append(total)
    while len(sums) > 1:
        sums = [add_neighbours(a, b, 32) for a, b in zip(sums[::2], sums[1::2], strict=True)]
    return add_neighbours(sums[0], ir.Constant(ir.VectorType(i32, 16), ir.Undefined), 16)


@intrinsic
def sum_windows_vector(typingctx: Any, image: Any, y: Any, x: Any, template: Any) -> Any:
    """Compute `sum_windows_plain` with explicit vector instructions, in a tenth of its time."""
    signature = types.UniTuple(types.float64, 8)(image, types.intp, types.intp, template)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pixels = context.make_array(signature.args[0])(context, builder, args[0])
        weights = context.make_array(signature.args[3])(context, builder, args[3])
        stride = builder.extract_value(pixels.strides, 0)
        corner = builder.gep(pixels.data, [builder.add(builder.mul(args[1], stride), args[2])])
        sums = _emit_window_sums(builder, corner, stride, weights.data)
        sums = builder.sitofp(sums, ir.VectorType(ir.DoubleType(), 8))
        parts = [builder.extract_element(sums, ir.IntType(32)(k)) for k in range(8)]
        return context.make_tuple(builder, signature.return_type, parts)

    return signature, codegen


@compile_part
def sum_windows_plain(image: Any, y: int, x: int, template: Any) -> Any:
    """Return the sums of the products of image[y : y + 16, x : x + 16] with each of the template's eight arrays.

    image: padded level, uint8 [rows + 2 PAD, cols + 2 PAD]. template: int16 [8 * 256].
    Returns eight float64, each an integer below 2**31.
    """
    sums = np.zeros(8, np.int64)
    for k in range(8):
        for j in range(16):
            for i in range(16):
                pixel = image[np.uint64(y + j), np.uint64(x + i)]  # Unsigned: a negative index would wrap.
                sums[k] += np.int64(pixel) * np.int64(template[256 * k + 16 * j + i])
    s = sums.astype(np.float64)
    return s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]


sum_windows: Any = sum_windows_plain if CHECKS_BOUNDS else sum_windows_vector
