"""Draw grey frames: with known motion, and hard to track."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Clip = NDArray[np.uint8]


def draw_texture(xs: NDArray[Any], ys: NDArray[Any], seed: int = 3) -> NDArray[np.float64]:
    """Sample a smooth picture that fades to 0 away from its centre, at positions xs, ys in pixels."""
    rng = np.random.default_rng(seed)
    waves: NDArray[np.float64] = np.zeros(np.broadcast_shapes(xs.shape, ys.shape))
    for _ in range(24):
        period, angle, phase = rng.uniform(24, 60), rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
        waves += np.sin((np.cos(angle) * xs + np.sin(angle) * ys) * 2 * np.pi / period + phase)
    fading: NDArray[np.float64] = np.exp(-(((xs**2 + ys**2) / 44**2) ** 3))
    return waves * fading


def draw_frame(dx: float = 0.0, dy: float = 0.0, side: int = 192, seed: int = 3) -> Clip:
    """Draw the texture at the centre of a grey frame, moved by (dx, dy) pixels; uint8 [side, side]."""
    positions = np.arange(side) - side / 2
    texture = draw_texture(positions[None, :] - dx, positions[:, None] - dy, seed)
    return np.clip(np.rint(128 + 16 * texture), 0, 255).astype(np.uint8)


def draw_clip(num_frames: int = 7) -> Clip:
    """Draw a texture on a curved, accelerating path over a noisy background; uint8 [T, 192, 192]."""
    rng = np.random.default_rng(5)
    background = rng.integers(-6, 7, (192, 192))
    frames = [draw_frame(0.3 * t * t, 2.1 * t - 0.2 * t * t) for t in range(num_frames)]
    return np.clip(np.stack(frames).astype(int) + background, 0, 255).astype(np.uint8)


@st.composite
def frames(draw: st.DrawFn) -> Clip:
    """Generate clips that are hard to track, uint8 [T, H, W]."""
    sides = st.one_of(st.integers(1, 40), st.sampled_from([15, 16, 17, 29, 30, 31, 32, 33, 61, 64]))
    num_frames, height, width = draw(st.integers(2, 4)), draw(sides), draw(sides)
    kind = draw(st.sampled_from(["flat", "noise", "alike", "edge", "checks", "speck", "jump"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    clip = np.full((num_frames, height, width), draw(st.integers(0, 255)), np.uint8)
    noise = rng.integers(0, 256, (num_frames, height, width), dtype=np.uint8)
    if kind == "noise":
        clip = noise
    elif kind == "alike":
        clip[:] = noise[0]
    elif kind == "edge":
        clip[:, :, width // 2 :] ^= 255
    elif kind == "checks":
        clip[:] = np.where(np.add.outer(np.arange(height), np.arange(width)) // 3 % 2, 255, 0)
        clip[-1] = np.roll(clip[-1], 1, axis=1)
    elif kind == "speck":
        clip[:, height // 2, width // 2] ^= 255
    elif kind == "jump":
        clip[:, :: 1 + height // 4, :: 1 + width // 4] = noise[:, :: 1 + height // 4, :: 1 + width // 4]
    return clip
