"""Frames -> a GIF: one palette for all of them, the dithering chosen, every frame whole. Same frames, same bytes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import GifImagePlugin, Image

from shards.atomic import write_atomically
from training.generation.config import Dither

_PALETTE_PIXELS = 1_000_000
_BAYER = np.array([[0, 2], [3, 1]])
_LUMA = np.array([0.299, 0.587, 0.114])


def write_gif(
    frames: Sequence[Image.Image], path: Path, durations_ms: Sequence[int], dither: Dither = "floyd-steinberg"
) -> None:
    """Write RGB frames of one size as a GIF that loops for ever; whole or not at all.

    Every frame covers the picture and holds no transparent pixel, so nothing of an earlier one shines through. Frames
    that equal the one before stay frames of their own: Pillow's own writer would join them. Durations are cut to
    hundredths of a second, as the format has them.
    """
    indexed = index_frames(frames, dither)
    header, _ = GifImagePlugin.getheader(indexed[0].copy(), info={"loop": 0, "duration": 0})
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        file.writelines(header)
        for frame, duration_ms in zip(indexed, durations_ms, strict=True):
            # Disposal 1 leaves the frame until the next covers it: no viewer flickers.
            file.writelines(GifImagePlugin.getdata(frame, duration=duration_ms, disposal=1))
        file.write(b";")


def index_frames(frames: Sequence[Image.Image], dither: Dither) -> list[Image.Image]:
    """Reduce RGB frames to the 256 colours that serve all of them best; a pixel that stays keeps its colour."""
    palette = _find_palette(frames)
    if dither == "ordered":
        return [_mix_colours(frame, palette) for frame in frames]
    method = Image.Dither.FLOYDSTEINBERG if dither == "floyd-steinberg" else Image.Dither.NONE
    return [frame.quantize(palette=palette, dither=method) for frame in frames]


def _find_palette(frames: Sequence[Image.Image]) -> Image.Image:
    """Find 256 colours by median cut and k-means over the pixels of all frames, or over every n-th row and column."""
    pixels = np.stack([np.asarray(frame) for frame in frames])  # [F, H, W, 3]
    every = int(np.ceil(np.sqrt(pixels[..., 0].size / _PALETTE_PIXELS)))
    pixels = pixels[:, ::every, ::every]
    stacked = Image.fromarray(np.ascontiguousarray(pixels.reshape(-1, *pixels.shape[2:])))
    return stacked.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=1)


def _mix_colours(frame: Image.Image, palette: Image.Image) -> Image.Image:
    """Dither by pattern (Knoll, 1999): each colour by a mix of four of the palette, which a pixel's place chooses from.

    So it stands still from frame to frame, and is as fine as the palette is just there.
    """
    wanted = np.asarray(frame, dtype=np.float64)  # [H, W, 3]
    colours = np.array(palette.getpalette(), dtype=np.float64).reshape(-1, 3)
    rest = np.zeros_like(wanted)
    mixed = np.empty((_BAYER.size, frame.height, frame.width), dtype=np.uint8)
    for part in mixed:
        aim = Image.fromarray(np.clip(wanted + rest, 0, 255).round().astype(np.uint8))
        part[:] = np.asarray(aim.quantize(palette=palette, dither=Image.Dither.NONE))
        rest += wanted - colours[part]
    mixed = np.take_along_axis(mixed, np.argsort((colours @ _LUMA)[mixed], axis=0, kind="stable"), axis=0)
    places = np.tile(_BAYER, (-(-frame.height // 2), -(-frame.width // 2)))[: frame.height, : frame.width]
    indexed = Image.fromarray(np.take_along_axis(mixed, places[None], axis=0)[0])
    indexed.putpalette(colours.astype(np.uint8).tobytes())
    return indexed
