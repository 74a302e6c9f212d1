"""Contact sheets: rows of labelled pictures, and the flow that warped the source for each frame.

F frames; flows [F, 2, h, w] in grid units (2 is the full width or height), as the warping module returns them.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from training.model.config import FlowMode

Displacement = NDArray[np.float64]
"""[2, h, w]: motion of each point of the source, horizontal then vertical, in pixels of the picture."""

_MARGIN_PX = 4
_TEXT_PX = 12
_LINE_PX = 16
_ARROWS_PER_SIDE = 8
_MIN_ARROW_PX = 1.0


def draw_sheet(rows: Sequence[Sequence[Image.Image]], captions: Sequence[str], labels: Sequence[str]) -> Image.Image:
    """Draw rows of pictures on white: a caption above each row, a label above each picture."""
    widths = [max(row[column].width for row in rows) for column in range(len(labels))]
    heights = [2 * _LINE_PX + max(picture.height for picture in row) + _MARGIN_PX for row in rows]
    font = ImageFont.load_default(_TEXT_PX)
    longest = max(sum(width + _MARGIN_PX for width in widths), *(int(font.getlength(text)) + 1 for text in captions))
    sheet = Image.new("RGB", (_MARGIN_PX + longest, _MARGIN_PX + sum(heights)), "white")
    draw = ImageDraw.Draw(sheet)
    top = _MARGIN_PX
    for row, caption, height in zip(rows, captions, heights, strict=True):
        draw.text((_MARGIN_PX, top), caption, "black", font)
        left = _MARGIN_PX
        for picture, label, width in zip(row, labels, widths, strict=True):
            draw.text((left, top + _LINE_PX), label, "gray", font)
            sheet.paste(picture, (left, top + 2 * _LINE_PX))
            left += width + _MARGIN_PX
        top += height
    return sheet


def draw_contact_sheet(
    source: Image.Image,
    frames: Sequence[Image.Image],
    motion_px: Sequence[float],
    prompt: str,
    displacements: Sequence[Displacement] | None,
) -> Image.Image:
    """Draw the source and the frames, labelled with their motion, and below each frame its flow over the source.

    Hue is the direction in which a point of the source moves, saturation its distance relative to the largest on the
    sheet; arrows show both. Without displacements, only the first row is drawn.
    """
    labels = ["source", *(f"motion {value:g}" for value in motion_px)]
    top = draw_sheet([[source, *frames]], [prompt], labels)
    if displacements is None:
        return top
    lengths = [np.hypot(displacement[0], displacement[1]) for displacement in displacements]
    max_px = max(max(float(length.max()) for length in lengths), 1e-6)
    caption = f"flow of the warping module over the source, and its mean; full colour is {max_px:.2f} px"
    flows = [draw_flow(source, displacement, max_px) for displacement in displacements]
    means = [f"{float(length.mean()):.2f} px" for length in lengths]
    bottom = draw_sheet([[_draw_wheel(source.size), *flows]], [caption], ["directions", *means])
    sheet = Image.new("RGB", (max(top.width, bottom.width), top.height + bottom.height), "white")
    sheet.paste(top, (0, 0))
    sheet.paste(bottom, (0, top.height))
    return sheet


def to_displacements(flow: NDArray[np.float32], mode: FlowMode, size: tuple[int, int]) -> list[Displacement]:
    """Convert flows [F, 2, h, w] in grid units to displacements in pixels of a picture of `size` (width, height).

    A flow points from the new position of a point back to its old one, so the sign is flipped. An `absolute` flow is
    the old position itself, so the identity grid is subtracted first.
    """
    _, _, height, width = flow.shape
    relative = flow.astype(np.float64)
    if mode == "absolute":
        x = (np.arange(width) * 2 + 1) / width - 1
        y = (np.arange(height) * 2 + 1) / height - 1
        relative = relative - np.stack(np.meshgrid(x, y))
    return list(-relative * (np.array(size) / 2)[:, None, None])


def draw_flow(source: Image.Image, displacement: Displacement, max_px: float) -> Image.Image:
    """Draw a displacement [2, h, w] as colours and arrows over the source in grey; `max_px` has full saturation."""
    colours = Image.fromarray(_to_colours(displacement / max_px)).resize(source.size, Image.Resampling.BILINEAR)
    picture = Image.blend(source.convert("L").convert("RGB"), colours, 0.6)
    draw = ImageDraw.Draw(picture)
    _, height, width = displacement.shape
    for row in range(_ARROWS_PER_SIDE):
        for column in range(_ARROWS_PER_SIDE):
            y, x = int((row + 0.5) * height / _ARROWS_PER_SIDE), int((column + 0.5) * width / _ARROWS_PER_SIDE)
            # The flow belongs to the new position of a point, so the arrow ends here.
            end = ((x + 0.5) * source.width / width, (y + 0.5) * source.height / height)
            _draw_arrow(draw, end, (float(displacement[0, y, x]), float(displacement[1, y, x])))
    return picture


def _draw_arrow(draw: ImageDraw.ImageDraw, end: tuple[float, float], displacement_px: tuple[float, float]) -> None:
    length = math.hypot(*displacement_px)
    if length < _MIN_ARROW_PX:
        draw.point(end, "black")
        return
    start = (end[0] - displacement_px[0], end[1] - displacement_px[1])
    draw.line([start, end], "black", 1)
    head, angle = min(4.0, length / 2), math.atan2(displacement_px[1], displacement_px[0])
    wings = [(end[0] - head * math.cos(angle + turn), end[1] - head * math.sin(angle + turn)) for turn in (0.5, -0.5)]
    draw.polygon([end, *wings], "black")


def _draw_wheel(size: tuple[int, int]) -> Image.Image:
    """Draw the colour of every direction, with full saturation at the edge of the circle."""
    side = min(size)
    x, y = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    colours = _to_colours(np.stack([x, y]))
    colours[np.hypot(x, y) > 1] = 255
    wheel = Image.new("RGB", size, "white")
    wheel.paste(Image.fromarray(colours), ((size[0] - side) // 2, (size[1] - side) // 2))
    return wheel


def _to_colours(displacement: Displacement) -> NDArray[np.uint8]:
    """Convert displacements [2, h, w] of length 0 to 1 to RGB [h, w, 3]: direction as hue, length as saturation."""
    hue = (np.arctan2(displacement[1], displacement[0]) / (2 * np.pi)) % 1
    saturation = np.clip(np.hypot(displacement[0], displacement[1]), 0, 1)
    levels = np.stack([hue * 255, saturation * 255, np.full_like(hue, 255)], axis=-1).round().astype(np.uint8)
    return np.asarray(Image.fromarray(levels, mode="HSV").convert("RGB")).copy()
