"""Anybody's clips: folders of pictures, GIFs and videos -> frames.

A clip is a folder of pictures, an animated picture or a video; its key is its path below the folder that holds it,
without the ending. T frames of H x W pixels.
"""

import contextlib
import dataclasses
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from shards.pictures import DECODE_ERRORS, composite_on_white
from training.evaluation.errors import EvaluationError

Frames = NDArray[np.uint8]
"""RGB, uint8 [T, H, W, 3]."""

PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
ANIMATIONS = (".gif", ".webp", ".apng")
VIDEOS = (".avi", ".mp4", ".webm", ".mkv", ".mov", ".m4v")

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # A damaged video is told by us, in one sentence.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip:
    """Where the frames of one clip lie."""

    key: str
    """Its name among the clips of a folder."""
    path: Path
    """A folder of pictures, an animated picture or a video."""


def find_clips(folder: Path) -> list[Clip]:
    """Find all clips of a folder, in the order of their keys, folders within folders included.

    Raises EvaluationError where there is none, where pictures lie loose, or where two clips have one key.
    """
    if not folder.is_dir():
        raise EvaluationError(f"{folder} is no folder: name one that holds clips")
    if _pictures(folder):
        raise EvaluationError(
            f"the pictures in {folder} lie loose: put the frames of each clip into a folder of its own"
        )
    clips: dict[str, Clip] = {}
    for path in sorted(_walk(folder)):
        relative = path.relative_to(folder)
        key = str(relative if path.is_dir() else relative.with_suffix(""))
        if key in clips:
            raise EvaluationError(f"{clips[key].path} and {path} are two clips of one name: keep one of them")
        clips[key] = Clip(key=key, path=path)
    if not clips:
        raise EvaluationError(f"{folder} holds no clip: a clip is a folder of pictures, a GIF or a video")
    return [clips[key] for key in sorted(clips)]


def read_frames(path: Path, every: int = 1, num_frames: int | None = None) -> Frames:
    """Read a clip's frames from the first on, each `every`-th one, `num_frames` of them or all.

    Raises EvaluationError where it cannot be decoded, has too few frames, or frames of several sizes.
    """
    if path.is_dir():
        frames = _read_pictures(_pictures(path)[::every][:num_frames])
    elif path.suffix.lower() in ANIMATIONS:
        frames = _read_animation(path, every, num_frames)
    else:
        frames = list(iterate_video(path, every, num_frames))
    if not frames or (num_frames is not None and len(frames) < num_frames):
        wanted = "" if num_frames is None else f" of the {num_frames} wanted (every {every})"
        raise EvaluationError(f"{path} has {len(frames)} frames{wanted}: leave it out, or ask for fewer")
    for frame in frames:
        if frame.shape != frames[0].shape:
            raise EvaluationError(f"{path} has frames of several sizes, {_size(frames[0])} and {_size(frame)}")
    return np.stack(frames)


def iterate_video(path: Path, every: int = 1, num_frames: int | None = None) -> Iterator[NDArray[np.uint8]]:
    """Yield frames of a video, RGB, uint8 [H, W, 3]; ends early where the video does. Decoded by OpenCV's FFmpeg."""
    capture = cv2.VideoCapture(str(path))
    try:
        if not path.is_file() or not capture.isOpened():
            raise EvaluationError(f"{path} is no video that can be decoded")
        index = given = 0
        while (num_frames is None or given < num_frames) and capture.grab():
            if index % every == 0:
                whole, frame = capture.retrieve()
                if not whole:
                    return
                yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)
                given += 1
            index += 1
    finally:
        capture.release()


def resize_frames(frames: Frames, width: int, height: int) -> Frames:
    """Resize frames by Lanczos, the whole picture, not cropped, as the training data was."""
    if frames.shape[1:3] == (height, width):
        return frames
    size = (width, height)
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)) for frame in frames])


def hash_clip(path: Path) -> str:
    """Hash the bytes of a clip's file, or of its folder's pictures in their order."""
    hashed = hashlib.sha256()
    for file in _pictures(path) if path.is_dir() else [path]:
        with file.open("rb") as opened:
            hashed.update(hashlib.file_digest(opened, "sha256").digest())
    return hashed.hexdigest()


def iterate_alike(folder: Path, every: int = 1, num_frames: int | None = None) -> Iterator[tuple[Clip, Frames]]:
    """Yield the clips of a folder with their frames, read as by `read_frames`.

    Raises EvaluationError where they are not all of one length and one size.
    """
    first: tuple[Clip, tuple[int, ...]] | None = None
    for clip in find_clips(folder):
        frames = read_frames(clip.path, every, num_frames)
        first = first or (clip, frames.shape)
        if len(frames) != first[1][0]:
            raise EvaluationError(
                f"the clips in {folder} are not of one length: {first[0].key} has {first[1][0]} frames, {clip.key} "
                f"{len(frames)}"
            )
        if frames.shape != first[1]:
            raise EvaluationError(
                f"the clips in {folder} are not of one size: {first[0].key} is {first[1][2]} x {first[1][1]}, "
                f"{clip.key} {_size(frames[0])}"
            )
        yield clip, frames


def read_picture(folder: Path, key: str) -> NDArray[np.uint8]:
    """Read the picture KEY.png (or .jpg, .bmp) of a folder, or the first frame of its clip KEY: uint8 [H, W, 3].

    Raises EvaluationError where there is neither.
    """
    for ending in PICTURES:
        if (path := folder / f"{key}{ending}").is_file():
            return _read_pictures([path])[0]
    if (folder / key).is_dir():
        return _first_frame(folder / key)
    for ending in ANIMATIONS + VIDEOS:
        if (path := folder / f"{key}{ending}").is_file():
            return _first_frame(path)
    raise EvaluationError(f"{folder} has no picture and no clip {key}")


def iterate_with_source(generated: Path, sources: Path | None) -> Iterator[tuple[Clip, NDArray[np.uint8], Frames]]:
    """Yield each clip with its source and its frames.

    The source is the picture KEY.png, or the first frame of the clip KEY, of the folder `sources`; without one, it is
    the clip's own first frame, which is then not measured. Raises EvaluationError where there is none.
    """
    for clip, frames in iterate_alike(generated):
        if sources is not None:
            yield clip, read_picture(sources, clip.key), frames
        elif len(frames) > 1:
            yield clip, frames[0], frames[1:]
        else:
            raise EvaluationError(f"{clip.path} has one frame alone: name the folder of its source by --sources")


def _first_frame(path: Path) -> NDArray[np.uint8]:
    frame: NDArray[np.uint8] = read_frames(path, num_frames=1)[0]
    return frame


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if _pictures(path):
                yield path
            else:
                yield from _walk(path)
        elif path.suffix.lower() in ANIMATIONS + VIDEOS:
            yield path


def _pictures(folder: Path) -> list[Path]:
    """List the pictures of a folder as a person counts: frame 2 before frame 10."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in PICTURES and not path.name.startswith("."))
    return sorted(found, key=lambda path: [(part.isdigit(), part.zfill(20)) for part in re.split(r"(\d+)", path.stem)])


def _read_pictures(paths: Sequence[Path]) -> list[NDArray[np.uint8]]:
    frames = []
    for path in paths:
        with _sentence_for_damage(path), Image.open(path) as picture:
            frames.append(np.asarray(composite_on_white(picture)))
    return frames


def _read_animation(path: Path, every: int, num_frames: int | None) -> list[NDArray[np.uint8]]:
    frames: list[NDArray[np.uint8]] = []
    with _sentence_for_damage(path), Image.open(path) as animation:
        for index, page in enumerate(ImageSequence.Iterator(animation)):
            if num_frames is not None and len(frames) == num_frames:
                break
            if index % every == 0:
                frames.append(np.asarray(composite_on_white(page)))
    return frames


@contextlib.contextmanager
def _sentence_for_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except DECODE_ERRORS as error:
        raise EvaluationError(f"{path} cannot be decoded ({error})") from error


def _size(frame: NDArray[np.uint8]) -> str:
    return f"{frame.shape[1]} x {frame.shape[0]}"
