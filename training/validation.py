"""What a model makes of fixed clips, to be looked at: source images and captions -> GIFs and one sheet of pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from shards.atomic import write_atomically
from training.generation.gif import write_gif
from training.generation.pictures import draw_sheet

if TYPE_CHECKING:
    from training.model.pipeline import Pix2GifPipeline

_FRAME_DURATION_MS = 200


def make_validation_gif(
    pipeline: "Pix2GifPipeline",
    sources: Sequence[Image.Image],
    captions: Sequence[str],
    motions: Sequence[float],
    path: Path,
    seed: int,
    num_inference_steps: int,
) -> Path:
    """Generate a frame for each source and motion (pixels), draw them, and return `path`.

    Where `path` is `step-1000.gif` there are then

    `step-1000.gif`: all clips side by side, the source first and then its frames in the order of `motions`;
    `step-1000-clip-00.gif` and so on: one clip each, likewise;
    `step-1000.png`: a row a clip, each picture under its motion and each row under its caption.

    Every clip starts from the same noise, in every call, so what differs from one step's pictures to the next's is the
    model. Pictures have the source's size. Where there are no sources, nothing is written.
    """
    rows = []
    for source, caption in zip(sources, captions, strict=True):
        generated = pipeline(
            source.convert("RGB"), caption, motion=list(motions), num_inference_steps=num_inference_steps, seed=seed
        ).frames
        rows.append([picture.convert("RGB").resize(source.size) for picture in (source, *generated)])
    if not rows:
        return path
    for index, row in enumerate(rows):
        _write(row, path.with_name(f"{path.stem}-clip-{index:02d}.gif"))
    labels = ["source", *(f"motion {motion:g}" for motion in motions)]
    with write_atomically(path.with_suffix(".png")) as temporary:
        draw_sheet(rows, captions, labels).save(temporary, format="PNG")
    _write([_side_by_side(moment) for moment in zip(*rows, strict=True)], path)
    return path


def _side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    width, height = sum(picture.width for picture in pictures), max(picture.height for picture in pictures)
    joined, left = Image.new("RGB", (width, height), "white"), 0
    for picture in pictures:
        joined.paste(picture, (left, 0))
        left += picture.width
    return joined


def _write(frames: Sequence[Image.Image], path: Path) -> None:
    write_gif(frames, path, [_FRAME_DURATION_MS] * len(frames))
