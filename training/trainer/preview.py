"""Validation GIFs: frames generated from fixed clips of the val split during training."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image

from shards.storage.atomic import write_atomically
from training.data import Batch, BatchStream, DataConfig
from training.generation.sheet import draw_contact_sheet, to_displacements
from training.generation.writers import write_gif
from training.model.factory import Components, make_pipeline
from training.model.latents import encode_source
from training.model.losses import mean_squared_error
from training.model.text.encoder import encode_text, make_prompt, tokenize
from training.model.warp import measure_flow_px
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
    batch = _read_clips(location, config.validation_clips)
    if batch is None:
        return
    pipeline = make_pipeline(parts)
    pipeline.set_progress_bar_config(disable=True)  # type: ignore[no-untyped-call]
    sources = [Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in batch.source]
    write_validation_gifs(
        pipeline, sources, batch.captions, EVALUATION_MOTIONS_PX, path,
        seed=config.seed, num_inference_steps=NUM_INFERENCE_STEPS, notes=describe_warp(parts, batch),
    )  # fmt: skip


def describe_warp(parts: Components, batch: Batch) -> list[str]:
    """Return for each pair, in words, how far its warp moves the source and how near it comes to the target.

    Nothing for a model without a warp.
    """
    model = parts.model
    prompts = [make_prompt(*pair) for pair in zip(batch.captions, batch.motion_px.tolist(), strict=True)]
    with torch.no_grad():
        source, target = (encode_source(parts.vae, picture).float() for picture in batch.as_floats())
        text_embeds = encode_text(parts.text_encoder, tokenize(parts.tokenizer, prompts)).float()
        prepared = model.prepare(source, text_embeds, batch.motion_px.to(source.device))
    if prepared.warped is None or prepared.flow is None:
        return []
    errors = (mean_squared_error(prepared.warped, target) / mean_squared_error(source, target)).tolist()
    lengths_px = measure_flow_px(prepared.flow, model.config.flow_mode).tolist()
    return [
        f"at the pair's {motion_px:.1f} px: flow_px {length_px:.2f}, warp_error {error:.2f}"
        for motion_px, length_px, error in zip(batch.motion_px.tolist(), lengths_px, errors, strict=True)
    ]


def write_validation_gifs(
    pipeline: "Pix2GifPipeline",
    sources: Sequence[Image.Image],
    captions: Sequence[str],
    motions_px: Sequence[float],
    path: Path,
    *,
    seed: int,
    num_inference_steps: int,
    notes: Sequence[str] = (),
) -> None:
    """Generate one frame for each source and motion, at the source's size, and write them as GIFs and a PNG.

    If `path` is `step-1000.gif`, the files are

    `step-1000.gif`: all clips side by side, the source first and then a frame for each motion;
    `step-1000-clip-00.gif` and so on: the same for each clip alone;
    `step-1000.png`: a sheet with a row for each clip and a column for each motion, each frame above the flow that
    warped the source for it. `notes` are written after the captions.

    All frames start from the same noise in every call, so differences between steps come from the model alone.
    Nothing is written if there are no sources.
    """
    rows, sheets = [], []
    for source, caption, note in zip(sources, captions, notes or [""] * len(captions), strict=True):
        generated = pipeline(
            source.convert("RGB"), caption, motion=list(motions_px), num_inference_steps=num_inference_steps, seed=seed
        )
        rows.append([frame.convert("RGB").resize(source.size) for frame in (source, *generated.frames)])
        displacements = None
        if generated.flow is not None:
            flow = generated.flow.float().cpu().numpy()
            displacements = to_displacements(flow, pipeline.model.config.flow_mode, source.size)
        title = f"{caption}   {note}".rstrip()
        sheets.append(draw_contact_sheet(rows[-1][0], rows[-1][1:], motions_px, title, displacements))
    if not rows:
        return
    for index, row in enumerate(rows):
        _write_gif(row, path.with_name(f"{path.stem}-clip-{index:02d}.gif"))
    with write_atomically(path.with_suffix(".png")) as temporary:
        _join(sheets, vertically=True).save(temporary, format="PNG")
    _write_gif([_join(frames) for frames in zip(*rows, strict=True)], path)


def _join(pictures: Sequence[Image.Image], *, vertically: bool = False) -> Image.Image:
    """Join pictures side by side, or one below the other."""
    widths, heights = [picture.width for picture in pictures], [picture.height for picture in pictures]
    size = (max(widths), sum(heights)) if vertically else (sum(widths), max(heights))
    joined, at = Image.new("RGB", size, "white"), 0
    for picture in pictures:
        joined.paste(picture, (0, at) if vertically else (at, 0))
        at += picture.height if vertically else picture.width
    return joined


def _write_gif(frames: Sequence[Image.Image], path: Path) -> None:
    write_gif(frames, path, [_FRAME_DURATION_MS] * len(frames))


def _read_clips(location: str, num_clips: int) -> Batch | None:
    """Read the first samples of the val split; None from a latent cache, which has no pictures."""
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
    return batch if isinstance(batch, Batch) else None
