"""Validation GIFs: frames generated from fixed clips of the val split during training."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from shards.storage.atomic import write_atomically
from training.data import Batch, BatchStream, DataConfig
from training.generation.sheet import draw_sheet
from training.generation.writers import write_gif
from training.model.factory import Components, make_pipeline
from training.runtime.config_fields import EVALUATION_MOTIONS_PX
from training.trainer.config import TrainingConfig

if TYPE_CHECKING:
    from training.model.pipeline import Pix2GifPipeline

NUM_INFERENCE_STEPS = 20
_FRAME_DURATION_MS = 200


def write_preview(parts: Components, location: str, config: TrainingConfig, path: Path) -> None:
    """Write GIFs of the first samples of the val split of `location`; nothing if it is a latent cache.

    Raises DataError if there is no val split.
    """
    pipeline = make_pipeline(parts)
    pipeline.set_progress_bar_config(disable=True)  # type: ignore[no-untyped-call]
    sources, captions = _read_clips(location, config.validation_clips)
    write_validation_gifs(
        pipeline, sources, captions, EVALUATION_MOTIONS_PX, path,
        seed=config.seed, num_inference_steps=NUM_INFERENCE_STEPS,
    )  # fmt: skip


def write_validation_gifs(
    pipeline: "Pix2GifPipeline",
    sources: Sequence[Image.Image],
    captions: Sequence[str],
    motions_px: Sequence[float],
    path: Path,
    *,
    seed: int,
    num_inference_steps: int,
) -> None:
    """Generate one frame for each source and motion, at the source's size, and write them as GIFs and a PNG.

    If `path` is `step-1000.gif`, the files are

    `step-1000.gif`: all clips side by side, the source first and then a frame for each motion;
    `step-1000-clip-00.gif` and so on: the same for each clip alone;
    `step-1000.png`: a sheet with a row for each clip and a column for each motion.

    All frames start from the same noise in every call, so differences between steps come from the model alone.
    Nothing is written if there are no sources.
    """
    rows = []
    for source, caption in zip(sources, captions, strict=True):
        generated = pipeline(
            source.convert("RGB"), caption, motion=list(motions_px), num_inference_steps=num_inference_steps, seed=seed
        ).frames
        rows.append([frame.convert("RGB").resize(source.size) for frame in (source, *generated)])
    if not rows:
        return
    for index, row in enumerate(rows):
        _write_gif(row, path.with_name(f"{path.stem}-clip-{index:02d}.gif"))
    labels = ["source", *(f"motion {motion:g}" for motion in motions_px)]
    with write_atomically(path.with_suffix(".png")) as temporary:
        draw_sheet(rows, captions, labels).save(temporary, format="PNG")
    _write_gif([_join(frames) for frames in zip(*rows, strict=True)], path)


def _join(frames: Sequence[Image.Image]) -> Image.Image:
    """Join frames side by side."""
    width, height = sum(frame.width for frame in frames), max(frame.height for frame in frames)
    joined, left = Image.new("RGB", (width, height), "white"), 0
    for frame in frames:
        joined.paste(frame, (left, 0))
        left += frame.width
    return joined


def _write_gif(frames: Sequence[Image.Image], path: Path) -> None:
    write_gif(frames, path, [_FRAME_DURATION_MS] * len(frames))


def _read_clips(location: str, num_clips: int) -> tuple[list[Image.Image], list[str]]:
    config = DataConfig(
        location=location,
        split="val",
        seed=0,
        global_batch=num_clips,
        micro_batch=num_clips,
        num_workers=0,
        flip=False,
    )
    batch = next(iter(BatchStream(config, rank=0, world_size=1, start_position=0)))
    if not isinstance(batch, Batch):
        return [], []
    return [Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in batch.source], batch.captions
