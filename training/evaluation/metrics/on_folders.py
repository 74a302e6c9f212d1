"""The metrics that need networks, on folders of anybody's clips. Each returns its values by name."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.clips import (
    find_clips,
    iterate_alike,
    iterate_with_source,
    read_picture,
    resize_frames,
)
from training.evaluation.metrics import clipsim
from training.evaluation.metrics.fvd import I3D, measure_fvd, refuse_too_few
from training.evaluation.metrics.networks import ClipEncoder, XClipEncoder
from training.evaluation.metrics.pic import DreamSim
from training.evaluation.metrics.xclip_similarity import choose_frames, score_clip

Values = dict[str, Any]


def measure_fvd_of(
    real: Path, generated: Path, i3d: I3D, every: int, num_frames: int | None, warn: Callable[[str], None]
) -> Values:
    """Measure FVD of two folders; of the real clips each `every`-th frame is taken, of both `num_frames` or all.

    Raises EvaluationError where they differ in the number of clips or in their length, or hold too few clips, and
    where `every` or `num_frames` is less than 1.
    """
    for option, value in (("--every", every), ("--num-frames", num_frames)):
        if value is not None and value < 1:
            raise EvaluationError(f"{option} is {value}; it must be 1 or more")
    counts = {folder: len(find_clips(folder)) for folder in (real, generated)}
    if counts[real] != counts[generated]:
        raise EvaluationError(
            f"{real} holds {counts[real]} clips and {generated} {counts[generated]}: FVD compares as many of either"
        )
    lengths: list[int] = []
    features = []
    for folder, step in ((real, every), (generated, 1)):
        rows = []
        for _, frames in iterate_alike(folder, step, num_frames):
            rows.append(i3d.extract(frames))
            refuse_too_few(counts[folder], len(rows[0]))
            if lengths and len(frames) != lengths[0]:
                raise EvaluationError(
                    f"the clips in {real} have {lengths[0]} frames and those in {generated} {len(frames)}: take as "
                    "many of either by --num-frames"
                )
        lengths.append(len(frames))
        features.append(np.stack(rows))
    return dataclasses.asdict(measure_fvd(features[0], features[1], warn))


def measure_clipsim_of(generated: Path, captions: Path, clip: ClipEncoder) -> Values:
    """Measure CLIPSim of a folder with a file of captions. Raises EvaluationError where a clip has none."""
    texts = read_captions(captions)
    scores = {}
    for found in find_clips(generated):
        if found.key not in texts:
            raise EvaluationError(f"{captions} has no caption for {found.key}, a clip in {generated}")
    for found, frames in iterate_alike(generated):
        scores[found.key] = clipsim.score_frames(clip, frames, texts[found.key])
    return _average("clipsim", scores)


def measure_pic_of(generated: Path, sources: Path | None, dreamsim: DreamSim) -> Values:
    """Measure PIC of a folder; `sources` as of `iterate_with_source`."""
    scores = {}
    for found, source, frames in iterate_with_source(generated, sources):
        height, width = frames.shape[1:3]
        scores[found.key] = dreamsim.score_frames(resize_frames(source[None], width, height)[0], frames)
    return _average("pic", scores)


def measure_similarity_of(
    generated: Path, sources: Path | None, targets: Path | None, clip: ClipEncoder, x_clip: XClipEncoder
) -> Values:
    """Measure image-video similarity of a folder to its sources and, where `targets` is given, to its targets.

    Frames are spread over the clip where it has more than X-CLIP takes.
    """
    rows = []
    for found, source, frames in iterate_with_source(generated, sources):
        chosen = frames[choose_frames(len(frames), x_clip.num_frames)]
        pictures = [source] if targets is None else [source, read_picture(targets, found.key)]
        # One at a time, as they may differ in size.
        rows.append([score_clip(clip, x_clip, picture[None], chosen)[0] for picture in pictures])
    means = np.mean(np.array(rows, dtype=np.float64), axis=0).tolist()
    return {"num_clips": len(rows), **dict(zip(("source", "target"), means, strict=False))}


def read_captions(path: Path) -> dict[str, str]:
    """Read captions: a JSON object {clip: caption}, or lines of clip, tab, caption.

    Raises EvaluationError where the file is neither.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() == ".json":
            captions = json.loads(text)
            if not isinstance(captions, dict):
                raise ValueError("it is no object")
            return {str(key): str(caption) for key, caption in captions.items()}
        captions = {}
        for number, line in enumerate(text.splitlines(), start=1):
            key, tab, caption = line.partition("\t")
            if tab:
                captions[key] = caption
            elif line.strip():
                raise ValueError(f"line {number} has no tab")
        return captions
    except (OSError, ValueError) as error:
        raise EvaluationError(
            f"{path} cannot be read as captions ({error}): write lines of a clip's name, a tab and its caption, or a "
            "JSON object"
        ) from error


def _average(name: str, scores: dict[str, NDArray[np.float64]]) -> Values:
    """Average over all frames of all clips, and over each clip's."""
    clips = {key: float(score.mean()) for key, score in scores.items()}
    return {name: float(np.concatenate(list(scores.values())).mean()), "num_clips": len(scores), "clips": clips}
