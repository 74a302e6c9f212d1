"""Find the videos and captions of UCF-101 and MSR-VTT, as downloaded, for Table 1."""

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shards.json_fields import load_json
from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.frames import VIDEOS, iterate_frames


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoClip:
    """One video of a data set."""

    key: str
    """Its name in the data set: v_Archery_g01_c01, video7010."""
    caption: str
    path: Path


def find_ucf101(folder: Path) -> list[VideoClip]:
    """Find the videos of UCF-101 (Soomro et al., 2012): CLASS/v_*.avi, at any depth below `folder`.

    The caption is the name of the class, split at its capitals: ApplyEyeMakeup becomes `Apply Eye Makeup`. Raises
    EvaluationError if there are none, or if two have the same name.
    """
    clips: dict[str, VideoClip] = {}
    for path in sorted(folder.rglob("v_*.avi")):
        if path.stem in clips:
            raise EvaluationError(
                f"{clips[path.stem].path} and {path} are the same video: give a folder with only one copy of UCF-101"
            )
        clips[path.stem] = VideoClip(key=path.stem, caption=split_at_capitals(path.parent.name), path=path)
    if not clips:
        raise EvaluationError(
            f"there is no UCF-101 in {folder}: give the folder that holds one folder of v_*.avi videos for each class"
        )
    return list(clips.values())


def split_at_capitals(name: str) -> str:
    """Split the name of a class before each capital: `YoYo` becomes `Yo Yo`."""
    return " ".join(re.findall(r"[A-Z][^A-Z]*|^[^A-Z]+", name))


def find_msrvtt(folder: Path, seed: int = 0) -> list[VideoClip]:
    """Find the videos of MSR-VTT (Xu et al., 2016): its JSON files and videos, at any depth below `folder`.

    The JSON files have `videos` and `sentences`. If they name splits, only the videos of `test` are returned. One of
    the 20 captions of a video is drawn by seed and key. Raises EvaluationError if there is no JSON or no video.
    """
    videos = {path.stem: path for path in sorted(folder.rglob("video*")) if path.suffix.lower() in VIDEOS}
    captions: dict[str, list[str]] = {}
    splits: dict[str, str] = {}
    for path, listing in _read_listings(folder):
        try:
            splits |= {video["video_id"]: video.get("split", "") for video in listing["videos"]}
            for sentence in listing["sentences"]:
                captions.setdefault(sentence["video_id"], []).append(sentence["caption"])
        except (KeyError, TypeError, AttributeError) as error:
            raise EvaluationError(f"{path} is not a listing of MSR-VTT: {error!r}") from error
    if not captions:
        raise EvaluationError(f"there is no JSON of MSR-VTT, with `videos` and `sentences`, in {folder}")
    if "test" in splits.values():
        captions = {key: texts for key, texts in captions.items() if splits.get(key) == "test"}
    clips = [
        VideoClip(key=key, caption=_draw_caption(texts, seed, key), path=videos[key])
        for key, texts in sorted(captions.items())
        if key in videos
    ]
    if not clips:
        raise EvaluationError(f"{folder} has the JSON of MSR-VTT, but none of its videos (videoNNNN.mp4)")
    return clips


FINDERS: dict[str, Callable[[Path, int], list[VideoClip]]] = {
    "ucf-101": lambda folder, seed: find_ucf101(folder),
    "msr-vtt": find_msrvtt,
}
"""Finder of each data set, by name: (folder, seed of the captions) -> videos."""


def draw_videos(clips: Sequence[VideoClip], num_videos: int, num_frames: int, seed: int) -> list[VideoClip]:
    """Draw videos with at least `num_frames` frames; return them sorted by key. Raises EvaluationError for too few."""
    drawn: list[VideoClip] = []
    for index in np.random.default_rng(seed).permutation(len(clips)):
        if len(drawn) == num_videos:
            break
        clip = clips[int(index)]
        if sum(1 for _ in itertools.islice(iterate_frames(clip.path), num_frames)) == num_frames:
            drawn.append(clip)
    if len(drawn) < num_videos:
        raise EvaluationError(
            f"only {len(drawn)} of {len(clips)} videos have {num_frames} frames, fewer than the {num_videos} to draw: "
            "set a smaller --num-videos, or use fewer frames"
        )
    return sorted(drawn, key=lambda clip: clip.key)


def _read_listings(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(folder.rglob("*.json")):
        try:
            listing = load_json(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            raise EvaluationError(f"{path} cannot be read as JSON ({error})") from error
        if isinstance(listing, dict) and {"videos", "sentences"} <= listing.keys():
            yield path, listing


def _draw_caption(captions: Sequence[str], seed: int, key: str) -> str:
    drawn = int.from_bytes(hashlib.sha256(f"{seed} {key}".encode()).digest()[:8], "big")
    return sorted(captions)[drawn % len(captions)]
