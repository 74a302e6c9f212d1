"""Compute the metrics that need networks on folders of clips. Each function returns its values by name."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.json_fields import load_json
from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.clips import find_clips, find_image, iterate_clips, iterate_with_source
from training.evaluation.metrics import clipsim
from training.evaluation.metrics.fvd import I3D, check_num_videos, measure_fvd
from training.evaluation.metrics.networks import ClipEncoder, XClipEncoder
from training.evaluation.metrics.pic import DreamSim
from training.evaluation.metrics.xclip_similarity import choose_frames, score_clip

Values = dict[str, Any]
"""The values of a metric, as written to JSON."""


def measure_fvd_of(
    real: Path, generated: Path, i3d: I3D, every: int, num_frames: int | None, warn: Callable[[str], None]
) -> Values:
    """Compute FVD of two folders of clips: every `every`-th frame of the real ones, `num_frames` or all of both.

    Raises EvaluationError if the folders differ in the number or the length of their clips, if there are too few
    clips, and if `every` or `num_frames` is less than 1.
    """
    for option, value in (("--every", every), ("--num-frames", num_frames)):
        if value is not None and value < 1:
            raise EvaluationError(f"{option} is {value}; it must be 1 or more")
    counts = {folder: len(find_clips(folder)) for folder in (real, generated)}
    if counts[real] != counts[generated]:
        raise EvaluationError(
            f"{real} has {counts[real]} clips and {generated} {counts[generated]}: FVD needs the same number of both"
        )
    lengths: list[int] = []
    features = []
    for folder, step in ((real, every), (generated, 1)):
        rows = []
        for _, frames in iterate_clips(folder, step, num_frames):
            rows.append(i3d.extract(frames))
            check_num_videos(counts[folder], len(rows[0]))
            if lengths and len(frames) != lengths[0]:
                raise EvaluationError(
                    f"the clips in {real} have {lengths[0]} frames and those in {generated} {len(frames)}: use as "
                    "many of both with --num-frames"
                )
        lengths.append(len(frames))
        features.append(np.stack(rows))
    return dataclasses.asdict(measure_fvd(features[0], features[1], warn))


def measure_clipsim_of(generated: Path, captions: Path, encoder: ClipEncoder) -> Values:
    """Compute CLIPSim of a folder of clips and a file of captions. Raises EvaluationError if a clip has no caption."""
    texts = read_captions(captions)
    for clip in find_clips(generated):
        if clip.key not in texts:
            raise EvaluationError(f"{captions} has no caption for {clip.key}, a clip in {generated}")
    scores = {
        clip.key: clipsim.score_frames(encoder, frames, texts[clip.key]) for clip, frames in iterate_clips(generated)
    }
    return _average("clipsim", scores)


def measure_pic_of(generated: Path, sources: Path | None, dreamsim: DreamSim) -> Values:
    """Compute PIC of a folder of clips; see `iterate_with_source` for `sources`."""
    scores = {
        clip.key: dreamsim.score_frames(source, frames)
        for clip, source, frames in iterate_with_source(generated, sources)
    }
    return _average("pic", scores)


def measure_similarity_of(
    generated: Path, sources: Path | None, targets: Path | None, encoder: ClipEncoder, x_clip: XClipEncoder
) -> Values:
    """Compute the similarity of a folder of clips to their sources and, if `targets` is given, to their targets.

    Of a clip with more frames than X-CLIP takes, evenly spaced ones are used.
    """
    rows = []
    for clip, source, frames in iterate_with_source(generated, sources):
        chosen = frames[choose_frames(len(frames), x_clip.num_frames)]
        images = [source] if targets is None else [source, find_image(targets, clip.key)]
        # One call for each image, because source and target may differ in size.
        rows.append([score_clip(encoder, x_clip, image[None], chosen)[0] for image in images])
    means = np.mean(np.array(rows, dtype=np.float64), axis=0).tolist()
    return {"num_clips": len(rows), **dict(zip(("source", "target"), means, strict=False))}


def read_captions(path: Path) -> dict[str, str]:
    """Read captions by clip: a JSON object {clip: caption}, or lines of clip, tab and caption.

    Raises EvaluationError if the file is neither.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() == ".json":
            captions = load_json(text)
            if not isinstance(captions, dict):
                raise ValueError("it is not an object")
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
            f"{path} cannot be read as captions ({error}): write one line of clip, tab and caption for each clip, or a "
            "JSON object"
        ) from error


def _average(name: str, scores: dict[str, NDArray[np.float64]]) -> Values:
    """Average over all frames of all clips, and over the frames of each clip."""
    clips = {key: float(score.mean()) for key, score in scores.items()}
    return {name: float(np.concatenate(list(scores.values())).mean()), "num_clips": len(scores), "clips": clips}
