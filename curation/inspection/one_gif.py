"""Motion of every pair of one GIF -> CSV or a picture, so that a person sees what the numbers mean."""

import io
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pyarrow import csv

from curation.config import CurationConfig
from curation.decode.probe import ProbeTask, probe_clips
from curation.errors import CurationError
from curation.flow.measure import measure_clip
from curation.flow.table import Measurement
from curation.listing.clips import Clip

_PICTURE_PX = 720
_MARGIN_PX = 64
_LEGEND_PX = 24
_TICKS = 6
_FULL_SCALE_PERCENTILE = 98
"""A few pairs across a cut would else push all others to the dark end."""


def measure_file(path: Path, config: CurationConfig) -> tuple[Measurement, pa.Table]:
    """Measure one GIF as a run would, limits included. Raises CurationError where a run would give a verdict."""
    clip = Clip(key="clip", uri=str(path), location=str(path), captions=(), split="", row=1)
    probed = probe_clips(ProbeTask(clips=(clip,), config=config))[0]
    if probed.verdict is not None:
        raise CurationError(f"{path} cannot be measured, {probed.verdict}: {probed.detail}")
    measurement, rows = measure_clip(probed, config)
    if rows is None:
        raise CurationError(f"{path} cannot be measured, {measurement.verdict}: {measurement.detail}")
    return measurement, rows


def draw_heat_map(motion_px: NDArray[np.float32], num_frames: int, title: str) -> Image.Image:
    """Draw motion, float32 [P] ordered by source then target, as a square: source frames down, target frames across.

    Motion greater than 98 % of the pairs' is drawn in the brightest colour.
    """
    scale = max(float(np.percentile(motion_px, _FULL_SCALE_PERCENTILE)), 1.0)
    square = np.zeros((num_frames, num_frames), dtype=np.float32)
    square[np.triu_indices(num_frames, k=1)] = motion_px
    cell = max(1, round(_PICTURE_PX / num_frames))
    side = cell * num_frames
    heat = _colour(square / scale).resize((side, side), Image.Resampling.NEAREST)
    # Nothing is measured on and below the diagonal.
    unmeasured = Image.fromarray((np.tri(num_frames) * 255).astype(np.uint8)).resize(
        heat.size, Image.Resampling.NEAREST
    )
    heat.paste("white", mask=unmeasured)
    page = Image.new("RGB", (side + 3 * _MARGIN_PX + _LEGEND_PX, side + 2 * _MARGIN_PX), "white")
    page.paste(heat, (_MARGIN_PX, _MARGIN_PX))
    draw = ImageDraw.Draw(page)
    _draw_axes(draw, num_frames, cell, title)
    _draw_legend(page, draw, side, scale)
    return page


def format_csv(rows: pa.Table) -> str:
    """Write rows of the flow table, a line for each pair under a line of names; of the clip's key nothing."""
    columns = rows.drop_columns("clip_key")
    text = io.BytesIO()
    csv.write_csv(columns, text, csv.WriteOptions(include_header=False))
    return ",".join(columns.column_names) + "\n" + text.getvalue().decode()


def _colour(share: NDArray[np.float32]) -> Image.Image:
    levels = np.clip(share * 255, 0, 255).astype(np.uint8)
    return Image.fromarray(cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB))


def _draw_axes(draw: ImageDraw.ImageDraw, num_frames: int, cell: int, title: str) -> None:
    font = ImageFont.load_default(14)
    side = cell * num_frames
    draw.text((_MARGIN_PX, 12), title, "black", ImageFont.load_default(16))
    draw.text((_MARGIN_PX + side / 2, _MARGIN_PX + side + 42), "target frame", "black", font, anchor="mm")
    draw.text((10, _MARGIN_PX - 14), "source frame", "black", font)
    for frame in np.unique(np.linspace(0, num_frames - 1, _TICKS).round().astype(int)).tolist():
        at = _MARGIN_PX + (frame + 0.5) * cell
        draw.text((at, _MARGIN_PX + side + 8), str(frame), "black", font, anchor="mt")
        draw.text((_MARGIN_PX - 8, at), str(frame), "black", font, anchor="rm")


def _draw_legend(page: Image.Image, draw: ImageDraw.ImageDraw, side: int, scale: float) -> None:
    left = side + _MARGIN_PX + 24
    ramp = np.linspace(1, 0, side, dtype=np.float32)[:, None].repeat(_LEGEND_PX, axis=1)
    page.paste(_colour(ramp), (left, _MARGIN_PX))
    font = ImageFont.load_default(14)
    draw.text((left, _MARGIN_PX - 8), "motion, px", "black", font, anchor="lb")
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        label = f"{share * scale:.3g}" + (" and more" if share == 1 else "")
        draw.text((left + _LEGEND_PX + 6, _MARGIN_PX + (1 - share) * side), label, "black", font, anchor="lm")
