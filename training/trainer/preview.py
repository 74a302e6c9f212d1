"""What the averaged weights make of fixed clips while a run goes on, and how weights are averaged into place."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from diffusers.training_utils import EMAModel
from PIL import Image

from shards.atomic import write_atomically
from training.data import Batch, BatchStream, DataConfig
from training.generation.sheet import draw_sheet
from training.generation.writers import write_gif
from training.model.factory import Components, make_pipeline
from training.model.pix2gif import Pix2Gif
from training.runtime.config_fields import EVALUATION_MOTIONS_PX
from training.trainer.config import TrainingConfig

if TYPE_CHECKING:
    from training.model.pipeline import Pix2GifPipeline

VALIDATION_STEPS = 20


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


@contextlib.contextmanager
def averaged_weights(model: Pix2Gif, ema: EMAModel) -> Iterator[None]:
    """Give the model its averaged weights, in evaluation and not compiled, for as long as the block lasts."""
    parameters = model.trained_parameters()
    ema.store(parameters)
    ema.copy_to(parameters)
    model.eval()
    try:
        # Generation has other shapes than training; compiling for each would take longer than it saves.
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        ema.restore(parameters)
        model.train()


def draw_preview(parts: Components, location: str, config: TrainingConfig, path: Path) -> None:
    """Draw GIFs of the same few samples of the val split with the weights as they are; none of a latent cache.

    Raises DataError where there is no val split.
    """
    pipeline = make_pipeline(parts)
    pipeline.set_progress_bar_config(disable=True)  # type: ignore[no-untyped-call]
    sources, captions = _read_clips(location, config.validation_clips)
    make_validation_gif(
        pipeline, sources, captions, EVALUATION_MOTIONS_PX, path, seed=config.seed, num_inference_steps=VALIDATION_STEPS
    )


def _read_clips(location: str, num: int) -> tuple[list[Image.Image], list[str]]:
    fixed = DataConfig(
        location=location, split="val", seed=0, global_batch=num, micro_batch=num, num_workers=0, flip=False
    )
    batch = next(iter(BatchStream(fixed, rank=0, world_size=1, start_position=0)))
    if not isinstance(batch, Batch):
        return [], []
    return [Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in batch.source], batch.captions
