"""Frames and the flows that warped the source for each -> a contact sheet that shows why they are as they are.

F frames; flows [F, 2, h, w] in grid units (2 is the whole width or height), as the warping module gives them.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from training.model.config import FlowMode

Displacement = NDArray[np.float64]

_MARGIN = 4
_TEXT_SIZE = 12
_LINE_HEIGHT = 16
_ARROWS = 8
_MIN_ARROW_PX = 1.0


def draw_sheet(rows: Sequence[Sequence[Image.Image]], captions: Sequence[str], labels: Sequence[str]) -> Image.Image:
    """Draw rows of pictures on white, a caption over each row and a label over each picture."""
    widths = [max(row[column].width for row in rows) for column in range(len(labels))]
    heights = [2 * _LINE_HEIGHT + max(picture.height for picture in row) + _MARGIN for row in rows]
    sheet = Image.new("RGB", (_MARGIN + sum(width + _MARGIN for width in widths), _MARGIN + sum(heights)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_TEXT_SIZE)
    top = _MARGIN
    for row, caption, height in zip(rows, captions, heights, strict=True):
        draw.text((_MARGIN, top), caption, "black", font)
        left = _MARGIN
        for picture, label, width in zip(row, labels, widths, strict=True):
            draw.text((left, top + _LINE_HEIGHT), label, "gray", font)
            sheet.paste(picture, (left, top + 2 * _LINE_HEIGHT))
            left += width + _MARGIN
        top += height
    return sheet


def draw_contact_sheet(
    source: Image.Image,
    frames: Sequence[Image.Image],
    motion_px: Sequence[float],
    prompt: str,
    displacements: Sequence[Displacement] | None,
) -> Image.Image:
    """Draw the source and each frame under its motion and, where there is a warping module, its flow over the source.

    A colour tells the direction in which a place of the source moves, as the wheel has it, and its strength how far,
    1 being the farthest of the sheet; arrows tell the same.
    """
    labels = ["source", *(f"motion {value:g}" for value in motion_px)]
    top = draw_sheet([[source, *frames]], [prompt], labels)
    if displacements is None:
        return top
    lengths = [np.hypot(displacement[0], displacement[1]) for displacement in displacements]
    farthest = max(max(float(length.max()) for length in lengths), 1e-6)
    caption = f"the flow of the warping module over the source, and its mean; full colour is {farthest:.2f} px"
    drawn = [draw_flow(source, displacement, farthest) for displacement in displacements]
    means = [f"{float(length.mean()):.2f} px" for length in lengths]
    bottom = draw_sheet([[_draw_wheel(source.size), *drawn]], [caption], ["directions", *means])
    sheet = Image.new("RGB", (max(top.width, bottom.width), top.height + bottom.height), "white")
    sheet.paste(top, (0, 0))
    sheet.paste(bottom, (0, top.height))
    return sheet


def to_displacements(flow: NDArray[np.float32], mode: FlowMode, size: tuple[int, int]) -> list[Displacement]:
    """Turn flows [F, 2, h, w] into where each place moves *from* the source, in pixels of a picture of `size`.

    A flow points from where something comes to be back to where it was, so the sign turns. An `absolute` flow is the
    place itself, from which the identity is taken first.
    """
    _, _, height, width = flow.shape
    moved = flow.astype(np.float64)
    if mode == "absolute":
        x = (np.arange(width) * 2 + 1) / width - 1
        y = (np.arange(height) * 2 + 1) / height - 1
        moved = moved - np.stack(np.meshgrid(x, y))
    return list(-moved * (np.array(size) / 2)[:, None, None])


def draw_flow(source: Image.Image, displacement: Displacement, farthest: float) -> Image.Image:
    """Draw a displacement [2, h, w], in pixels of the source, in colours and arrows over the source in grey."""
    colours = Image.fromarray(_colour(displacement / farthest)).resize(source.size, Image.Resampling.BILINEAR)
    picture = Image.blend(source.convert("L").convert("RGB"), colours, 0.6)
    draw = ImageDraw.Draw(picture)
    _, height, width = displacement.shape
    for row in range(_ARROWS):
        for column in range(_ARROWS):
            y, x = int((row + 0.5) * height / _ARROWS), int((column + 0.5) * width / _ARROWS)
            end = ((x + 0.5) * source.width / width, (y + 0.5) * source.height / height)
            # The warped latent at this place came from where the flow points, so the arrow ends here.
            _draw_arrow(draw, end, (float(displacement[0, y, x]), float(displacement[1, y, x])))
    return picture


def _draw_arrow(draw: ImageDraw.ImageDraw, end: tuple[float, float], moved: tuple[float, float]) -> None:
    length = math.hypot(*moved)
    if length < _MIN_ARROW_PX:
        draw.point(end, "black")
        return
    start = (end[0] - moved[0], end[1] - moved[1])
    draw.line([start, end], "black", 1)
    head, angle = min(4.0, length / 2), math.atan2(moved[1], moved[0])
    wings = [(end[0] - head * math.cos(angle + turn), end[1] - head * math.sin(angle + turn)) for turn in (0.5, -0.5)]
    draw.polygon([end, *wings], "black")


def _draw_wheel(size: tuple[int, int]) -> Image.Image:
    """Draw the colours of all directions, to full strength at the circle's edge."""
    side = min(size)
    x, y = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    colours = _colour(np.stack([x, y]))
    colours[np.hypot(x, y) > 1] = 255
    wheel = Image.new("RGB", size, "white")
    wheel.paste(Image.fromarray(colours), ((size[0] - side) // 2, (size[1] - side) // 2))
    return wheel


def _colour(displacement: Displacement) -> NDArray[np.uint8]:
    """Turn displacements [2, h, w] of length 0 to 1 into uint8 [h, w, 3]: direction as hue, length as saturation."""
    hue = (np.arctan2(displacement[1], displacement[0]) / (2 * np.pi)) % 1
    saturation = np.clip(np.hypot(displacement[0], displacement[1]), 0, 1)
    levels = np.stack([hue * 255, saturation * 255, np.full_like(hue, 255)], axis=-1).round().astype(np.uint8)
    return np.asarray(Image.fromarray(levels, mode="HSV").convert("RGB")).copy()
