"""Read the frames of one clip: a folder of images, an animated image, or a video.

T frames of H x W pixels, RGB.
"""

import contextlib
import hashlib
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

import curation.decode
from curation.errors import CurationError
from shards.pictures import DECODE_ERRORS, IMAGE_FORMATS, composite_on_white
from training.evaluation.errors import EvaluationError

Frame = NDArray[np.uint8]
"""RGB, uint8 [H, W, 3]."""
Frames = NDArray[np.uint8]
"""RGB, uint8 [T, H, W, 3]."""

IMAGES = (".png", ".jpg", ".jpeg", ".bmp")
ANIMATIONS = (".gif", ".webp", ".apng")
VIDEOS = (".avi", ".mp4", ".webm", ".mkv", ".mov", ".m4v")


def iterate_frames(path: Path, every: int = 1, num_frames: int | None = None, start: int = 0) -> Iterator[Frame]:
    """Yield every `every`-th frame of a clip from frame `start` on: the first `num_frames` of them, or all.

    GIFs are decoded as curation decodes them, videos by OpenCV's FFmpeg.
    Raises EvaluationError if the clip cannot be decoded. A video that is damaged after its first frames ends early.
    """
    if path.is_dir():
        frames: Iterator[Frame] = map(read_image, list_images(path)[start::every])
    elif path.suffix.lower() == ".gif":
        frames = iter(_read_gif(path, every, num_frames, start))
    elif path.suffix.lower() in ANIMATIONS:
        frames = _iterate_animation(path, every, start)
    else:
        frames = _iterate_video(path, every, start)
    yield from itertools.islice(frames, num_frames)


def read_frames(path: Path, every: int = 1, num_frames: int | None = None, start: int = 0) -> Frames:
    """Read every `every`-th frame of a clip from frame `start` on: the first `num_frames` of them, or all.

    Raises EvaluationError if the clip cannot be decoded, has too few frames, or has frames of several sizes.
    """
    frames = list(iterate_frames(path, every, num_frames, start))
    if not frames or (num_frames is not None and len(frames) < num_frames):
        needed = "" if num_frames is None else f", but {num_frames} are needed (every {every})"
        raise EvaluationError(f"{path} has {len(frames)} frames{needed}: remove it, or ask for fewer frames")
    for frame in frames:
        if frame.shape != frames[0].shape:
            raise EvaluationError(f"{path} has frames of several sizes, {size_of(frames[0])} and {size_of(frame)}")
    return np.stack(frames)


def read_image(path: Path) -> Frame:
    """Read an image as RGB, composited on white. Raises EvaluationError if it cannot be decoded."""
    with _decoding(path), Image.open(path, formats=IMAGE_FORMATS) as image:
        return np.asarray(composite_on_white(image))


def resize_frames(
    frames: Frames, width: int, height: int, resample: Image.Resampling = Image.Resampling.LANCZOS
) -> Frames:
    """Resize frames to [T, height, width, 3] without a crop; the default filter is that of curation."""
    if frames.shape[1:3] == (height, width):
        return frames
    size = (width, height)
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, resample)) for frame in frames])


def hash_clip(path: Path) -> str:
    """Return the SHA-256 of the SHA-256s of a clip's files, in frame order."""
    hashed = hashlib.sha256()
    for file in list_images(path) if path.is_dir() else [path]:
        with file.open("rb") as opened:
            hashed.update(hashlib.file_digest(opened, "sha256").digest())
    return hashed.hexdigest()


def list_images(folder: Path) -> list[Path]:
    """List the images of a folder in numeric order: frame 2 before frame 10."""
    images = (path for path in folder.iterdir() if path.suffix.lower() in IMAGES and not path.name.startswith("."))
    return sorted(images, key=lambda path: [(part.isdigit(), part.zfill(20)) for part in re.split(r"(\d+)", path.stem)])


def size_of(frame: Frame) -> str:
    """Format the size of a frame as `width x height`."""
    return f"{frame.shape[1]} x {frame.shape[0]}"


def _read_gif(path: Path, every: int, num_frames: int | None, start: int) -> Frames:
    try:
        frames = curation.decode.read_frames(path, 0, max_frames=num_frames and start + (num_frames - 1) * every + 1)
    except CurationError as error:
        raise EvaluationError(f"{path} cannot be decoded ({error})") from error
    if frames.damage:
        raise EvaluationError(f"{path} cannot be decoded ({frames.damage})")
    return frames.rgb[start::every]


def _iterate_animation(path: Path, every: int, start: int) -> Iterator[Frame]:
    with _decoding(path), Image.open(path, formats=IMAGE_FORMATS) as animation:
        for page in itertools.islice(ImageSequence.Iterator(animation), start, None, every):
            yield np.asarray(composite_on_white(page))


def _iterate_video(path: Path, every: int, start: int) -> Iterator[Frame]:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # A damaged video raises; FFmpeg must not print as well.
    capture = cv2.VideoCapture(str(path))
    try:
        if not path.is_file() or not capture.isOpened():
            raise EvaluationError(f"{path} is not a video that OpenCV can decode")
        for index in itertools.count():
            if not capture.grab():
                return
            if index < start or (index - start) % every:
                continue
            is_decoded, frame = capture.retrieve()
            if not is_decoded:
                return
            yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    finally:
        capture.release()


@contextlib.contextmanager
def _decoding(path: Path) -> Iterator[None]:
    try:
        yield
    except DECODE_ERRORS as error:
        raise EvaluationError(f"{path} cannot be decoded ({error})") from error
