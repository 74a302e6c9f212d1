"""Write the report of a run: a table, the curve, contact sheets and GIFs."""

import dataclasses
import json
import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from examples.toy_world.draw import FRAME_MS
from examples.toy_world.measure import GeneratedClip, obeys_caption, read_clips
from examples.toy_world.presets import Preset
from shards.storage.atomic import write_atomically
from training.generation.sheet import draw_sheet
from training.generation.writers import write_gif

NUM_SHOWN = 6
"""Number of clips on a contact sheet."""
_NUM_MOVING = 4
"""Number of clips in a GIF, two in a row: one of each direction."""
_ENLARGED = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """Results of one variant on the held-out clips."""

    variant: str
    pearson: float
    """Pearson correlation of requested and measured motion, over all frames of all clips."""
    rms_px: float
    """Root mean square error over all frames of all clips."""
    pearson_averaged: float
    """As in the paper: motion is averaged over clips first."""
    rms_averaged_px: float
    obeyed: float
    """Share of frames that moved in the caption's direction; 0.25 by chance."""
    obeyed_clips: float
    """Share of clips of which more than half of the frames did."""


def write_report(out: Path, preset: Preset, models: Sequence[str], seconds: dict[str, float]) -> Path:
    """Write OUT/report.md and its images from the results of `pix2gif evaluate table2`; return its path."""
    table = json.loads((out / "table2" / "table2.json").read_text(encoding="utf-8"))
    seed = int(table["config"]["protocol"]["seed"])
    clips = {
        variant: read_clips(out / "shards", out / "table2", variant, preset.image_guidance, preset.num_clips, seed)
        for variant in models
    }
    outcomes = [
        _summarise(variant, table["values"][variant][str(float(preset.image_guidance))], clips[variant])
        for variant in models
    ]
    pictures = out / "pictures"
    pictures.mkdir(exist_ok=True)
    shutil.copyfile(out / "table2" / "table2.png", pictures / "curve.png")
    labels = ["source", "target", *(f"{motion:g}" for motion in preset.requested_px)]
    for variant in models:
        shown = _choose(clips[variant])
        rows = [[_enlarge(frame) for frame in (clip.pair.source, clip.pair.target, *clip.frames)] for clip in shown]
        with write_atomically(pictures / f"sheet-{variant}.png") as temporary:
            draw_sheet(rows, [clip.pair.caption for clip in shown], labels).save(temporary, format="PNG")
        _write_gif(shown[:_NUM_MOVING], preset.requested_px, pictures / f"{variant}.gif")
    values = [dataclasses.asdict(outcome) for outcome in outcomes]
    with write_atomically(out / "outcomes.json") as temporary:
        temporary.write_text(json.dumps({"outcomes": values, "seconds": seconds}, indent=2) + "\n", encoding="utf-8")
    path = out / "report.md"
    with write_atomically(path) as temporary:
        temporary.write_text(_compose(out, preset, seconds, outcomes), encoding="utf-8")
    return path


def _summarise(variant: str, coherency: dict[str, Any], clips: list[GeneratedClip]) -> Outcome:
    obeyed = np.stack([obeys_caption(clip) for clip in clips])
    single, averaged = coherency["single"], coherency["averaged"]
    return Outcome(
        variant=variant,
        # The correlation is None if the measured motion is constant.
        pearson=single["pearson"] or 0.0,
        rms_px=single["rms_px"],
        pearson_averaged=averaged["pearson"] or 0.0,
        rms_averaged_px=averaged["rms_px"],
        obeyed=float(obeyed.mean()),
        obeyed_clips=float((obeyed.mean(axis=1) > 0.5).mean()),
    )


def _choose(clips: list[GeneratedClip]) -> list[GeneratedClip]:
    """Choose the clips to show: the first one of each direction, then the first others."""
    first: dict[str, GeneratedClip] = {}
    for clip in clips:
        first.setdefault(clip.direction, clip)
    others = [clip for clip in clips if all(clip is not one for one in first.values())]
    return [*first.values(), *others][:NUM_SHOWN]


def _enlarge(frame: np.ndarray[Any, np.dtype[np.uint8]]) -> Image.Image:
    picture = Image.fromarray(frame)
    return picture.resize((_ENLARGED * picture.width, _ENLARGED * picture.height), Image.Resampling.NEAREST)


def _write_gif(clips: Sequence[GeneratedClip], requested_px: Sequence[float], path: Path) -> None:
    """Write clips as one GIF, each with its source beside the generated frames, forwards and then backwards."""
    motions = [0.0, *requested_px]
    steps = [*range(len(motions)), *range(len(motions) - 2, 0, -1)]
    frames = [_draw_step(clips, step, f"generated, {motions[step]:g} px") for step in steps]
    write_gif(frames, path, [FRAME_MS] * len(frames), dither="none")


def _draw_step(clips: Sequence[GeneratedClip], step: int, label: str) -> Image.Image:
    """Draw one moment of a GIF; step 0 shows the source in place of a generated frame."""
    cells = []
    for clip in clips:
        moving = (clip.pair.source, *clip.frames)[step]
        row = [_enlarge(clip.pair.source), _enlarge(moving)]
        cells.append(draw_sheet([row], [clip.pair.caption], ["source", label if step else "source"]))
    width, height = (max(sizes) for sizes in zip(*(cell.size for cell in cells), strict=True))
    sheet = Image.new("RGB", (2 * width, -(-len(cells) // 2) * height), "white")
    for number, cell in enumerate(cells):
        sheet.paste(cell, (number % 2 * width, number // 2 * height))
    return sheet


def _compose(out: Path, preset: Preset, seconds: dict[str, float], outcomes: list[Outcome]) -> str:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{len(os.sched_getaffinity(0))} CPU cores"
    about = json.loads((out / "stable-diffusion" / "about.json").read_text(encoding="utf-8"))
    requested = ", ".join(f"{motion:g}" for motion in preset.requested_px)
    lines = [
        "# The toy world",
        "",
        f"{preset.num_train:,} GIFs drawn for training, {preset.num_val:,} held out; {preset.max_steps:,} steps of "
        f"{preset.batch} pairs a variant, on {device} ({platform.machine()}).",
        f"The autoencoder reconstructs held-out images at {about['psnr_db']:.1f} dB, and their motion with a Pearson "
        f"correlation of {about['motion_pearson']:.4f}.",
        f"Frames of {preset.num_clips} held-out clips at {requested} px: {preset.sampling_steps} sampling steps, "
        f"s_T {preset.text_guidance:g}, s_I {preset.image_guidance:g}.",
        "",
        "| variant | Pearson, all frames | RMS, all frames (px) | Pearson, averaged | RMS, averaged (px) | "
        "direction obeyed, frames | direction obeyed, clips |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.variant} | {one.pearson:.3f} | {one.rms_px:.2f} | {one.pearson_averaged:.3f} | "
        f"{one.rms_averaged_px:.2f} | {one.obeyed:.0%} | {one.obeyed_clips:.0%} |"
        for one in outcomes
    ]
    lines += [
        "",
        "Averaged, as in the paper, means over the clips first. By chance, 25 % of the frames obey the direction.",
        "",
    ]
    lines += ["![Measured over requested motion](pictures/curve.png)", ""]
    for variant in (one.variant for one in outcomes):
        gif, sheet = (f"![Frames of {variant}](pictures/{name})" for name in (f"{variant}.gif", f"sheet-{variant}.png"))
        lines += [f"## {variant}", "", gif, "", sheet, ""]
    lines += ["## Time", "", "| step | seconds |", "|---|---|"]
    lines += [f"| {step} | {taken:.0f} |" for step, taken in seconds.items()]
    lines += [f"| total | {sum(seconds.values()):.0f} |", ""]
    return "\n".join(lines)
