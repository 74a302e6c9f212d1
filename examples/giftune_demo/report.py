"""Write the report of a run of the demo: tables and contact sheets."""

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
from shards.storage.atomic import write_atomically
from training.generation.sheet import draw_sheet

_ENLARGED = 3
_BASELINE = "neither"
_COUNTED = {"flicker": "", "change_error": GIF.caption, "ground_change": GIF.ground, "depth_change": ""}
"""{measure: words that a prompt must contain to count}. A prompt may ask for another ground or sprite."""
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
    """Write OUT/report.md and its contact sheets from the results of the steps; return its path."""
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
        f"The autoencoder reconstructs held-out images at {about['autoencoder_psnr_db']:.1f} dB; the depth model "
        f"has a mean error of {about['depth_error']:.3f} of 1 on held-out images.",
        "",
        "Means over the seeds (and their standard deviation). The GIF's own prompt is sampled without guidance, others "
        f"at {preset.guidance:g}. Flicker and ground change are in grey levels of 255 where there is never a sprite. "
        "Change error is that of the change from frame to frame against the GIF's, over the whole image.",
        "",
    ]
    for name, prompt in PROMPTS.items():
        lines += [f"## {name}: {prompt}", "", _head("run", *_MEASURES.values(), "colour", "ground")]
        if prompt == GIF.caption:  # An upper bound for every model.
            lines.append(_row("autoencoder alone", [about["clip_through_autoencoder"]]))
        for variant in (UNTUNED, *preset.variants):
            matching = [row for row in rows if (row["variant"], row["prompt"]) == (variant, name)]
            lines.append(_row(variant, matching))
        lines.append("")
    lines += _compose_effects(preset, rows, figures["losses"])
    for variant in (UNTUNED, *preset.variants):
        lines += [f"## {variant}", "", f"![{variant}](pictures/{variant.replace(' ', '-')}.png)", ""]
    lines += ["## Time", "", _head("step", "seconds")]
    lines += [f"| {step} | {taken:.0f} |" for step, taken in seconds.items()]
    return "\n".join([*lines, f"| total | {sum(seconds.values()):.0f} |", ""])


def _row(name: str, rows: list[dict[str, Any]]) -> str:
    cells = [_format_mean([row[measure] for row in rows]) for measure in _MEASURES]
    words = [", ".join(sorted({row[word] for row in rows})) for word in ("colour", "ground")]
    return f"| {' | '.join([name, *cells, *words])} |"


def _compose_effects(preset: Preset, rows: list[dict[str, Any]], losses: list[dict[str, Any]]) -> list[str]:
    """Compare each regularization with the run without it, for the same seed and prompt."""
    lines = [
        "## Compared with no regularization",
        "",
        "Mean ratio over all seeds and prompts, and the number of them in which the value is lower.",
        "",
    ]
    lines.append(_head("run", *(_MEASURES[measure] for measure in _COUNTED)))
    baseline = {(row["seed"], row["prompt"]): row for row in rows if row["variant"] == _BASELINE}
    for variant in preset.variants:
        pairs = [(row, baseline[row["seed"], row["prompt"]]) for row in rows if row["variant"] == variant]
        cells = []
        for measure, words in _COUNTED.items():
            counted = [(row[measure], other[measure]) for row, other in pairs if words in PROMPTS[row["prompt"]]]
            lower = sum(value < other for value, other in counted)
            ratio = mean(value / max(other, 1e-9) for value, other in counted)
            cells.append(f"{ratio:.2f}, {lower} of {len(counted)}")
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    lines += ["", "## Losses", "", "On the GIF, unweighted, at noise that no run used.", ""]
    lines.append(_head("run", *_LOSSES))
    for variant in (UNTUNED, *preset.variants):
        matching = [row for row in losses if row["variant"] == variant]
        lines.append(
            f"| {variant} | {' | '.join(_format_mean([row[loss] for row in matching], 5) for loss in _LOSSES)} |"
        )
    return [*lines, ""]


def _head(*names: str) -> str:
    return f"| {' | '.join(names)} |\n{'|---' * len(names)}|"


def _format_mean(values: list[float], digits: int = 3) -> str:
    spread = f" ({stdev(values):.{digits}f})" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"
