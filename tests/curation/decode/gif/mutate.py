"""Damage drawn GIFs. Each case is a number: the same seed and number always give the same file."""

import functools
import random
from collections.abc import Callable

from tests.curation.decode.gif.generate import DrawnGif, draw_gif

CASES_PER_GIF = 25
"""One file as it is drawn, the others damaged."""
BYTES = (0, 1, 2, 12, 0x21, 0x2C, 0x3B, 0x7F, 0x80, 0xF9, 0xFF)
"""Values that mean something somewhere in the format."""

Mutation = Callable[[random.Random, bytearray, int], None]
"""Changes a file at an offset."""


@functools.lru_cache(maxsize=512)
def draw_base(seed: int, number: int) -> DrawnGif:
    """Draw the GIF that the cases are made from."""
    return draw_gif(random.Random(f"{seed} {number}"))  # noqa: S311


def make_case(seed: int, number: int) -> tuple[bytes, random.Random]:
    """Return the file of a case, and the generator of random numbers for what else the case needs."""
    rng = random.Random(f"{seed} case {number}")  # noqa: S311
    base = draw_base(seed, number // CASES_PER_GIF)
    data = bytearray(base.data)
    if number % CASES_PER_GIF:
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            if data:
                rng.choice(MUTATIONS)(rng, data, choose_offset(rng, data, base))
            if rng.random() < 0.1:
                splice(rng, data, choose_offset(rng, data, base), draw_base(seed, rng.randrange(200)))
        if rng.random() < 0.4:
            data += bytes(256)  # Terminates a sub-block that a change made too long.
    return bytes(data), rng


def choose_offset(rng: random.Random, data: bytes | bytearray, base: DrawnGif) -> int:
    """Choose an offset: mostly in a frame's header or data, where a change does not end the clip at once."""
    kind = rng.random()
    if kind < 0.2 or not base.sub_blocks:
        return rng.randrange(max(len(data), 1))
    block = rng.choice(base.sub_blocks)
    near = rng.randint(-12, 0) if kind < 0.5 else rng.randint(0, base.data[block])
    return min(block if kind > 0.9 else block + near, max(len(data) - 1, 0))


def splice(rng: random.Random, data: bytearray, at: int, other: DrawnGif) -> None:
    data[at:] = other.data[choose_offset(rng, other.data, other) :]


def flip_bit(rng: random.Random, data: bytearray, at: int) -> None:
    data[at] ^= 1 << rng.randrange(8)


def overwrite(rng: random.Random, data: bytearray, at: int) -> None:
    data[at] = rng.choice((*BYTES, rng.randrange(256), data[at] ^ 1, max(data[at] - 1, 0), min(data[at] + 1, 255)))


def truncate(rng: random.Random, data: bytearray, at: int) -> None:
    del data[at:]


def insert(rng: random.Random, data: bytearray, at: int) -> None:
    data[at:at] = rng.randbytes(rng.choice((1, 2, 8, 40)))


def repeat(rng: random.Random, data: bytearray, at: int) -> None:
    start = rng.randrange(len(data))
    data[at:at] = data[start : start + rng.choice((1, 2, 8, 40))]


def delete(rng: random.Random, data: bytearray, at: int) -> None:
    del data[at : at + rng.choice((1, 2, 8, 40))]


def randomize(rng: random.Random, data: bytearray, at: int) -> None:
    """Replace the rest of a sub-block, if `at` is the offset of its length."""
    stop = min(at + 1 + data[at], len(data))
    start = rng.randint(at + 1, stop)
    data[start:stop] = rng.randbytes(stop - start)


MUTATIONS: tuple[Mutation, ...] = (flip_bit, overwrite, truncate, insert, repeat, delete, randomize, randomize)
