"""UCF-101 and MSR-VTT, as downloaded -> the clips that Table 1 is made from."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.clips import VIDEOS, iterate_video


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoClip:
    """One video of a data set."""

    key: str
    """Its name in the data set: v_Archery_g01_c01, video7010."""
    caption: str
    path: Path


def find_ucf101(folder: Path, seed: int = 0) -> list[VideoClip]:
    """Find the videos of UCF-101 (Soomro et al., 2012): folders of classes, .avi in them, at any depth below `folder`.

    The caption is the class's name, split at its capitals: ApplyEyeMakeup becomes `Apply Eye Makeup`. `seed` is not
    needed: a class has one caption. Raises EvaluationError where there are none.
    """
    clips = [
        VideoClip(key=path.stem, caption=split_at_capitals(path.parent.name), path=path)
        for path in sorted(folder.rglob("*.avi"))
        if path.name.startswith("v_")
    ]
    if not clips:
        raise EvaluationError(
            f"there is no UCF-101 in {folder}: name the folder that holds one for each class, with videos v_*.avi in it"
        )
    return _refuse_twins(clips)


def split_at_capitals(name: str) -> str:
    """Split a class's name before each capital: `YoYo` becomes `Yo Yo`."""
    return " ".join(re.findall(r"[A-Z][^A-Z]*|^[^A-Z]+", name))


def find_msrvtt(folder: Path, seed: int = 0) -> list[VideoClip]:
    """Find the videos of MSR-VTT (Xu et al., 2016): below `folder` lie its JSON and, anywhere, the videos.

    The JSON is the one with `videos` and `sentences`. Where it tells splits, the videos of `test` are taken. Of a
    video's captions (20 of them), one is drawn by seed and key. Raises EvaluationError where the JSON or every video
    is missing.
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
            raise EvaluationError(f"{path} is not MSR-VTT's listing: {error!r} in it") from error
    if not captions:
        raise EvaluationError(f"there is no JSON of MSR-VTT, with `videos` and `sentences`, in {folder}")
    if "test" in splits.values():
        captions = {key: texts for key, texts in captions.items() if splits.get(key) == "test"}
    clips = [
        VideoClip(key=key, caption=_draw(texts, seed, key), path=videos[key])
        for key, texts in sorted(captions.items())
        if key in videos
    ]
    if not clips:
        raise EvaluationError(f"{folder} has MSR-VTT's listing, but none of its videos (videoNNNN.mp4)")
    return clips


FINDERS: dict[str, Callable[[Path, int], list[VideoClip]]] = {"ucf-101": find_ucf101, "msr-vtt": find_msrvtt}


def choose_videos(clips: Sequence[VideoClip], num_videos: int, num_frames: int, seed: int) -> list[VideoClip]:
    """Choose videos by seed, in the order of their keys, passing over those with fewer than `num_frames` frames.

    Raises EvaluationError where there are too few.
    """
    chosen: list[VideoClip] = []
    for index in np.random.default_rng(seed).permutation(len(clips)):
        if len(chosen) == num_videos:
            break
        clip = clips[int(index)]
        if sum(1 for _ in iterate_video(clip.path, num_frames=num_frames)) == num_frames:
            chosen.append(clip)
    if len(chosen) < num_videos:
        raise EvaluationError(
            f"{len(chosen)} of {len(clips)} videos have {num_frames} frames, but {num_videos} are wanted: "
            "ask for fewer with --num-videos, or for shorter ones"
        )
    return sorted(chosen, key=lambda clip: clip.key)


def _read_listings(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(folder.rglob("*.json")):
        try:
            listing = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            raise EvaluationError(f"{path} cannot be read as JSON ({error})") from error
        if isinstance(listing, dict) and {"videos", "sentences"} <= listing.keys():
            yield path, listing


def _draw(texts: Sequence[str], seed: int, key: str) -> str:
    drawn = int.from_bytes(hashlib.sha256(f"{seed} {key}".encode()).digest()[:8], "big")
    return sorted(texts)[drawn % len(texts)]


def _refuse_twins(clips: list[VideoClip]) -> list[VideoClip]:
    seen: dict[str, Path] = {}
    for clip in clips:
        if clip.key in seen:
            raise EvaluationError(f"{seen[clip.key]} and {clip.path} are one video: name the folder of one UCF-101")
        seen[clip.key] = clip.path
    return clips
