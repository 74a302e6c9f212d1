"""What a run of the demo made -> its result page: tables and contact sheets, for a person to look at."""

import json
import os
import platform
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from PIL import Image

from examples.giftune_demo.compare import UNTUNED
from examples.giftune_demo.presets import PROMPTS, Preset
from examples.giftune_demo.world import GIF, WORLD
from examples.steps import write_text
from examples.toy_world.draw import draw_frames
from shards.atomic import write_atomically
from training.generation.sheet import draw_sheet

_ENLARGED = 3
_BASELINE = "neither"
_COUNTED = {"flicker": "", "change_error": GIF.caption, "ground_change": GIF.ground, "depth_change": ""}
"""Measures, and what a prompt must say to count: a ground or a sprite that is asked to be another is no fault."""
_LOSSES = ("noise", "background", "change", "stillness")
_MEASURES = {
    "psnr_db": "to the GIF (dB)",
    "path_px": "path (px)",
    "flicker": "flicker",
    "change_error": "change error",
    "ground_change": "ground change",
    "depth_change": "depth change",
}


def write_report(out: Path, preset: Preset, seconds: dict[str, float]) -> Path:
    """Write OUT/report.md and its contact sheets from what the steps left; returns its path."""
    figures = json.loads((out / "figures.json").read_text(encoding="utf-8"))
    (out / "pictures").mkdir(exist_ok=True)
    for variant in (UNTUNED, *preset.variants):
        rows = [("the GIF", [np.asarray(frame) for frame in draw_frames(WORLD, GIF)])]
        rows += [
            (prompt, list(np.load(out / "frames" / f"{variant}-0-{name}.npy".replace(" ", "-"))))
            for name, prompt in PROMPTS.items()
        ]
        labels = [str(number + 1) for number in range(GIF.num_frames)]
        sheet = draw_sheet([[_enlarge(frame) for frame in row] for _, row in rows], [name for name, _ in rows], labels)
        with write_atomically(out / "pictures" / f"{variant}.png".replace(" ", "-")) as temporary:
            sheet.save(temporary, format="PNG", optimize=True)
    path = out / "report.md"
    write_text(path, _compose(preset, figures, seconds))
    return path


def _enlarge(frame: np.ndarray[Any, np.dtype[np.uint8]]) -> Image.Image:
    side = _ENLARGED * frame.shape[0]
    return Image.fromarray(frame).resize((side, side), Image.Resampling.NEAREST)


def _compose(preset: Preset, figures: dict[str, Any], seconds: dict[str, float]) -> str:
    about, rows = figures["about"], figures["rows"]
    lines = [
        "# GIF-Tune on a drawn GIF",
        "",
        f"{preset.image_model.steps:,} steps of the image model, {preset.tuning_steps:,} of each tuning run, "
        f"{preset.num_seeds} seeds a variant, on {len(os.sched_getaffinity(0))} CPU cores ({platform.machine()}).",
        f"The autoencoder gives held-out pictures back at {about['autoencoder_psnr_db']:.1f} dB; the depth model "
        f"is off by {about['depth_error']:.3f} of 1 on held-out pictures.",
        "",
        "Means over the seeds (and their standard deviation). The GIF's own prompt is sampled without guidance, others "
        f"at {preset.guidance:g}. Flicker and ground change are grey levels of 255 where no sprite ever is; change "
        "error is over the whole picture, of the change from frame to frame against the GIF's.",
        "",
    ]
    for name, prompt in PROMPTS.items():
        lines += [f"## {name}: {prompt}", "", _head("run", *_MEASURES.values(), "colour", "ground")]
        if prompt == GIF.caption:  # What no model behind the autoencoder can be expected to better.
            lines.append(_row("the autoencoder alone", [about["clip_through_autoencoder"]]))
        for variant in (UNTUNED, *preset.variants):
            found = [row for row in rows if (row["variant"], row["prompt"]) == (variant, name)]
            lines.append(_row(variant, found))
        lines.append("")
    lines += _compose_effects(preset, rows, figures["losses"])
    for variant in (UNTUNED, *preset.variants):
        lines += [f"## {variant}", "", f"![{variant}](pictures/{variant.replace(' ', '-')}.png)", ""]
    lines += ["## Time", "", _head("step", "seconds")]
    lines += [f"| {step} | {taken:.0f} |" for step, taken in seconds.items()]
    return "\n".join([*lines, f"| together | {sum(seconds.values()):.0f} |", ""])


def _row(name: str, found: list[dict[str, Any]]) -> str:
    cells = [_tell([row[measure] for row in found]) for measure in _MEASURES]
    words = [", ".join(sorted({row[word] for row in found})) for word in ("colour", "ground")]
    return f"| {' | '.join([name, *cells, *words])} |"


def _compose_effects(preset: Preset, rows: list[dict[str, Any]], losses: list[dict[str, Any]]) -> list[str]:
    """Tell what a regularization changes against the run without, of the same seed and for the same prompt."""
    lines = [
        "## Against the run without",
        "",
        "Ratio over all seeds and prompts, and in how many of them it is lower.",
        "",
    ]
    lines.append(_head("run", *(_MEASURES[measure] for measure in _COUNTED)))
    baseline = {(row["seed"], row["prompt"]): row for row in rows if row["variant"] == _BASELINE}
    for variant in preset.variants:
        pairs = [(row, baseline[row["seed"], row["prompt"]]) for row in rows if row["variant"] == variant]
        cells = []
        for measure, asked in _COUNTED.items():
            counted = [(row[measure], other[measure]) for row, other in pairs if asked in PROMPTS[row["prompt"]]]
            lower = sum(value < other for value, other in counted)
            ratio = mean(value / max(other, 1e-9) for value, other in counted)
            cells.append(f"{ratio:.2f}, {lower} of {len(counted)}")
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    lines += ["", "## The losses themselves", "", "On the GIF, unweighted, at noise that no run has drawn.", ""]
    lines.append(_head("run", *_LOSSES))
    for variant in (UNTUNED, *preset.variants):
        found = [row for row in losses if row["variant"] == variant]
        lines.append(f"| {variant} | {' | '.join(_tell([row[loss] for row in found], 5) for loss in _LOSSES)} |")
    return [*lines, ""]


def _head(*names: str) -> str:
    return f"| {' | '.join(names)} |\n{'|---' * len(names)}|"


def _tell(values: list[float], digits: int = 3) -> str:
    spread = f" ({stdev(values):.{digits}f})" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"
