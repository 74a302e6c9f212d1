"""One GIF -> motion of all its frame pairs, as CSV or as a heat map."""

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

_HEAT_MAP_PX = 720
_MARGIN_PX = 64
_LEGEND_WIDTH_PX = 24
_NUM_TICKS = 6
_FULL_SCALE_PERCENTILE = 98
"""Not the maximum: a few pairs across a scene cut would darken all others."""


def measure_file(path: Path, config: CurationConfig) -> tuple[Measurement, pa.Table]:
    """Measure one GIF with the code and limits of a run. Raises CurationError if a run would not measure it."""
    clip = Clip(key="clip", uri=str(path), location=str(path), captions=(), split="", row=1)
    probed = probe_clips(ProbeTask(clips=(clip,), config=config))[0]
    if probed.verdict is not None:
        raise CurationError(f"cannot measure {path} ({probed.verdict}): {probed.detail}")
    measurement, rows = measure_clip(probed, config)
    if rows is None:
        raise CurationError(f"cannot measure {path} ({measurement.verdict}): {measurement.detail}")
    return measurement, rows


def draw_heat_map(motion_px: NDArray[np.float32], num_frames: int, title: str) -> Image.Image:
    """Draw motion as a square: one row per source frame, one column per target frame.

    `motion_px` is float32 [pairs], ordered by source, then target. The colour scale ends at the 98th percentile.
    """
    scale = max(float(np.percentile(motion_px, _FULL_SCALE_PERCENTILE)), 1.0)
    square = np.zeros((num_frames, num_frames), dtype=np.float32)
    square[np.triu_indices(num_frames, k=1)] = motion_px
    cell = max(1, round(_HEAT_MAP_PX / num_frames))
    side = cell * num_frames
    heat = _apply_colormap(square / scale).resize((side, side), Image.Resampling.NEAREST)
    # Pairs on and below the diagonal are not measured: leave them white.
    unmeasured = Image.fromarray((np.tri(num_frames) * 255).astype(np.uint8)).resize(
        heat.size, Image.Resampling.NEAREST
    )
    heat.paste("white", mask=unmeasured)
    page = Image.new("RGB", (side + 3 * _MARGIN_PX + _LEGEND_WIDTH_PX, side + 2 * _MARGIN_PX), "white")
    page.paste(heat, (_MARGIN_PX, _MARGIN_PX))
    draw = ImageDraw.Draw(page)
    _draw_axes(draw, num_frames, cell, title)
    _draw_legend(page, draw, side, scale)
    return page


def format_csv(rows: pa.Table) -> str:
    """Format rows of the flow table as CSV with a header, without the clip key."""
    columns = rows.drop_columns("clip_key")
    text = io.BytesIO()
    csv.write_csv(columns, text, csv.WriteOptions(include_header=False))
    return ",".join(columns.column_names) + "\n" + text.getvalue().decode()


def _apply_colormap(values: NDArray[np.float32]) -> Image.Image:
    """Map values in [0, 1] to colours. Values above 1 get the brightest colour."""
    levels = np.clip(values * 255, 0, 255).astype(np.uint8)
    return Image.fromarray(cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB))


def _draw_axes(draw: ImageDraw.ImageDraw, num_frames: int, cell: int, title: str) -> None:
    font = ImageFont.load_default(14)
    side = cell * num_frames
    draw.text((_MARGIN_PX, 12), title, "black", ImageFont.load_default(16))
    draw.text((_MARGIN_PX + side / 2, _MARGIN_PX + side + 42), "target frame", "black", font, anchor="mm")
    draw.text((10, _MARGIN_PX - 14), "source frame", "black", font)
    for frame in np.unique(np.linspace(0, num_frames - 1, _NUM_TICKS).round().astype(int)).tolist():
        center = _MARGIN_PX + (frame + 0.5) * cell
        draw.text((center, _MARGIN_PX + side + 8), str(frame), "black", font, anchor="mt")
        draw.text((_MARGIN_PX - 8, center), str(frame), "black", font, anchor="rm")


def _draw_legend(page: Image.Image, draw: ImageDraw.ImageDraw, side: int, scale: float) -> None:
    left = side + _MARGIN_PX + 24
    ramp = np.linspace(1, 0, side, dtype=np.float32)[:, None].repeat(_LEGEND_WIDTH_PX, axis=1)
    page.paste(_apply_colormap(ramp), (left, _MARGIN_PX))
    font = ImageFont.load_default(14)
    draw.text((left, _MARGIN_PX - 8), "motion, px", "black", font, anchor="lb")
    for fraction in (0.0, 0.25, 0.5, 0.75, 1.0):
        label = f"{fraction * scale:.3g}" + (" or more" if fraction == 1 else "")
        draw.text((left + _LEGEND_WIDTH_PX + 6, _MARGIN_PX + (1 - fraction) * side), label, "black", font, anchor="lm")
