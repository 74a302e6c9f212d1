"""Rows of pictures -> one picture: captions over the rows, labels over the pictures."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_MARGIN = 4
_TEXT_SIZE = 12
_LINE_HEIGHT = 16


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
