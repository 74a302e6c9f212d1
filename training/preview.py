"""What the averaged weights make of fixed clips while a run goes on, and how weights are averaged into place."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers.training_utils import EMAModel
from PIL import Image

from training.config import TrainingConfig
from training.data import Batch, BatchStream, DataConfig
from training.model.factory import Components, make_pipeline
from training.model.pix2gif import Pix2Gif
from training.validation import make_validation_gif

VALIDATION_MOTIONS = [2.0, 4.0, 6.0, 8.0, 11.0, 14.0, 17.0, 19.0]
"""The paper's list for 8 frames (Pix2Gif, section 4)."""
VALIDATION_STEPS = 20


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
        pipeline, sources, captions, VALIDATION_MOTIONS, path, seed=config.seed, num_inference_steps=VALIDATION_STEPS
    )


def _read_clips(location: str, num: int) -> tuple[list[Image.Image], list[str]]:
    fixed = DataConfig(
        location=location, split="val", seed=0, global_batch=num, micro_batch=num, num_workers=0, flip=False
    )
    batch = next(iter(BatchStream(fixed, rank=0, world_size=1, start_position=0)))
    if not isinstance(batch, Batch):
        return [], []
    return [Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in batch.source], batch.captions
