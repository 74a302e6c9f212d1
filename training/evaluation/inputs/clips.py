"""Find and read the clips of a folder, whichever program wrote them.

A clip is a folder of images, an animated image or a video. Its key is its path below the given folder, without the
suffix.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.frames import (
    ANIMATIONS,
    IMAGES,
    VIDEOS,
    Frame,
    Frames,
    list_images,
    read_frames,
    read_image,
    size_of,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip:
    """Location of one clip."""

    key: str
    """Name of the clip within its folder."""
    path: Path
    """A folder of images, an animated image or a video."""


def find_clips(folder: Path) -> list[Clip]:
    """Find all clips of a folder and its subfolders, sorted by key.

    Raises EvaluationError if there are none, if the folder itself holds images, or if two clips have the same key.
    """
    if not folder.is_dir():
        raise EvaluationError(f"{folder} is not a folder: give a folder that holds clips")
    if list_images(folder):
        raise EvaluationError(f"{folder} holds images, not clips: put the frames of each clip into a folder of its own")
    clips: dict[str, Clip] = {}
    for path in sorted(_walk(folder)):
        relative = path.relative_to(folder)
        key = str(relative if path.is_dir() else relative.with_suffix(""))
        if key in clips:
            raise EvaluationError(f"{clips[key].path} and {path} have the same name: remove one of them")
        clips[key] = Clip(key=key, path=path)
    if not clips:
        raise EvaluationError(f"{folder} holds no clip: a clip is a folder of images, a GIF or a video")
    return [clips[key] for key in sorted(clips)]


def iterate_clips(folder: Path, every: int = 1, num_frames: int | None = None) -> Iterator[tuple[Clip, Frames]]:
    """Yield each clip of a folder with its frames; see `read_frames` for `every` and `num_frames`.

    Raises EvaluationError if the clips differ in length or size.
    """
    first: tuple[Clip, Frames] | None = None
    for clip in find_clips(folder):
        frames = read_frames(clip.path, every, num_frames)
        first_clip, first_frames = first = first or (clip, frames)
        if len(frames) != len(first_frames):
            raise EvaluationError(
                f"the clips in {folder} must have the same length, but {first_clip.key} has {len(first_frames)} frames "
                f"and {clip.key} {len(frames)}"
            )
        if frames.shape != first_frames.shape:
            raise EvaluationError(
                f"the clips in {folder} must have the same size, but {first_clip.key} is {size_of(first_frames[0])} "
                f"and {clip.key} {size_of(frames[0])}"
            )
        yield clip, frames


def iterate_with_source(generated: Path, sources: Path | None) -> Iterator[tuple[Clip, Frame, Frames]]:
    """Yield each clip of a folder with its source and its frames.

    The source is the image KEY.png, or the first frame of the clip KEY, in the folder `sources`. Without `sources`, it
    is the clip's own first frame, which is then not among the frames. Raises EvaluationError if a source is missing.
    """
    for clip, frames in iterate_clips(generated):
        if sources is not None:
            yield clip, find_image(sources, clip.key), frames
        elif len(frames) > 1:
            yield clip, frames[0], frames[1:]
        else:
            raise EvaluationError(f"{clip.path} has only one frame: give the folder of its source with --sources")


def find_image(folder: Path, key: str) -> Frame:
    """Read the image KEY.png (or .jpg, .bmp) of a folder, or the first frame of its clip KEY.

    Raises EvaluationError if there is neither.
    """
    for suffix in IMAGES:
        if (path := folder / f"{key}{suffix}").is_file():
            return read_image(path)
    for path in (folder / key, *(folder / f"{key}{suffix}" for suffix in ANIMATIONS + VIDEOS)):
        if path.exists():
            frame: Frame = read_frames(path, num_frames=1)[0]
            return frame
    raise EvaluationError(f"{folder} has neither an image nor a clip named {key}")


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if list_images(path):
                yield path
            else:
                yield from _walk(path)
        elif path.suffix.lower() in ANIMATIONS + VIDEOS:
            yield path
