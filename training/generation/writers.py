"""Frames -> a file of the form that its name tells: GIF, MP4, WebP, or a folder of PNGs."""

import os
import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from shards.atomic import write_atomically
from training.generation.config import Dither
from training.generation.errors import GenerationError
from training.generation.gif import write_gif

SUFFIXES = (".gif", ".mp4", ".webp", "")
_MARK = ".pix2gif-frames"


def check_output(path: Path) -> None:
    """Raise GenerationError where the form is not known, or where writing would hit something of another kind."""
    if path.suffix.lower() not in SUFFIXES:
        raise GenerationError(
            f"the form of {path} is not known: end it with .gif, .mp4 or .webp, or name a folder for PNG frames"
        )
    if path.suffix and path.is_dir():
        raise GenerationError(f"{path} is a folder: name a file")
    if not path.suffix and path.exists() and not (path / _MARK).is_file():
        raise GenerationError(f"{path} exists and holds no frames of pix2gif: name another folder for PNG frames")
    if path.suffix.lower() == ".mp4":
        _import_av()
    check_folder(path)


def check_folder(path: Path) -> None:
    """Raise GenerationError where `path` cannot come to lie, before the work that it is to hold is begun."""
    parent = next(parent for parent in path.absolute().parents if parent.exists())
    if not parent.is_dir():
        raise GenerationError(f"{path} cannot be written, {parent} is a file: name another place")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise GenerationError(f"{path} cannot be written, {parent} is closed to you: name another place")


def write_frames(frames: Sequence[Image.Image], path: Path, fps: float, dither: Dither) -> None:
    """Write RGB frames of one size in the order given; whole or not at all. Same frames, same bytes."""
    suffix = path.suffix.lower()
    if suffix == ".gif":
        write_gif(frames, path, spread_durations(len(frames), fps), dither)
    elif suffix == ".webp":
        with write_atomically(path) as temporary:
            frames[0].save(
                temporary, format="WEBP", save_all=True, append_images=frames[1:], duration=round(1000 / fps),
                loop=0, quality=90, method=4,
            )  # fmt: skip
    elif suffix == ".mp4":
        _write_mp4(frames, path, fps)
    else:
        _write_folder(frames, path)


def spread_durations(num_frames: int, fps: float) -> list[int]:
    """Give each frame a duration in ms, a multiple of a GIF's 10 ms; the sum does not drift."""
    ends = [round(100 * (index + 1) / fps) * 10 for index in range(num_frames)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _import_av() -> None:
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise GenerationError("MP4 needs the package av: pip install av, or choose .gif or .webp") from error


def _write_mp4(frames: Sequence[Image.Image], path: Path, fps: float) -> None:
    """Write H.264 as browsers play it: 4:2:0, with the index at the front."""
    import av

    with (
        write_atomically(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        # One thread: the division of labour among several would change bytes.
        options = {"crf": "16", "threads": "1"}
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options=options)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        container.mux(stream.encode())


def _write_folder(frames: Sequence[Image.Image], path: Path) -> None:
    """Write 0001.png and so on into a folder, which takes its name when all are there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        for number, frame in enumerate(frames, start=1):
            frame.save(temporary / f"{number:04d}.png")
        (temporary / _MARK).touch()
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
