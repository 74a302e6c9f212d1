"""A loaded pipeline, an image, a prompt and a config -> frames, the flows behind them, and notes for the user.

F frames, one for each motion; h, w the latent's size.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from numpy.typing import NDArray
from PIL import Image

from training.generation.config import GenerationConfig
from training.generation.errors import GenerationError
from training.generation.images import Source, fit_image, plan_size
from training.generation.motions import note_fractions, note_untrained
from training.generation.sheet import draw_contact_sheet, to_displacements
from training.model.errors import ModelError
from training.model.pipeline import Pix2GifPipeline, load_pipeline
from training.model.text import NUM_TOKENS, count_cut_tokens, make_prompt
from training.runtime.config_fields import Precision
from training.runtime.devices import DTYPES, check_precision, choose_device
from training.runtime.guards import advice_for_out_of_memory
from training.runtime.weights import hash_weights


@dataclass(frozen=True, kw_only=True)
class Generator:
    """A pipeline on a device, and what tells its weights from others'."""

    pipeline: Pix2GifPipeline
    place: str
    """The folder or hub repository."""
    sha256: str
    """Of all weights and of the scheduler's config, as they were stored."""
    device: str
    precision: Precision


@dataclass(frozen=True, kw_only=True)
class Generated:
    """What was made of one image."""

    source: Image.Image
    """The image as the model saw it, at the size of the frames."""
    frames: list[Image.Image]
    """RGB, one for each motion, in the order of the motions."""
    flow: NDArray[np.float32] | None
    """[F, 2, h, w], grid units; None without a warping module."""
    notes: tuple[str, ...]
    """What the user should know: sentences without their full stop."""


def load_generator(place: str, device: str | None = None, precision: Precision = "no") -> Generator:
    """Load a pipeline from a folder or the hub onto a device. Raises TrainingError where it cannot be."""
    chosen = choose_device(device, allow_mps=True)
    check_precision(precision, chosen)
    folder = Path(place)
    if folder.is_dir() and not (folder / "model_index.json").is_file():
        inside = folder / "model"
        hint = f"name {inside}" if (inside / "model_index.json").is_file() else "name one that `pix2gif train` wrote"
        raise ModelError(f"{place} is no folder of a model, model_index.json is missing: {hint}")
    if not folder.exists() and (place.count("/") != 1 or place.startswith((".", "/", "~"))):
        raise ModelError(f"there is no model folder {place}: name one that `pix2gif train` wrote, or a hub repository")
    pipeline = load_pipeline(place)
    sha256 = _hash_pipeline(pipeline)
    pipeline.to(chosen, DTYPES[precision])
    return Generator(pipeline=pipeline, place=place, sha256=sha256, device=str(chosen), precision=precision)


def generate(
    generator: Generator,
    source: Source,
    prompt: str,
    config: GenerationConfig,
) -> Generated:
    """Make the frames of one GIF, `config.batch` at once; in whichever batches, the pictures are the same to rounding.

    Raises TrainingError where the motion is not in the model's embedding, or memory does not suffice.
    """
    pipeline = generator.pipeline
    notes = [*source.notes, *note_untrained(config.motion_px), *note_fractions(config.motion_px)]
    notes += _note_long_prompt(pipeline, prompt, config)
    size = _plan(generator, source.image, config)
    if min(source.image.size) < min(size):
        notes.append(f"the image is enlarged from {source.image.width} x {source.image.height}")
    image = fit_image(source.image, size, config.fit)
    kind: Any = {"euler-a": EulerAncestralDiscreteScheduler, "dpm++": DPMSolverMultistepScheduler}[config.scheduler]
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config)
    motions, at_once = config.motion_px, config.batch or len(config.motion_px)
    frames: list[Image.Image] = []
    flows = []
    hints = {f"--batch {max(1, at_once // 2)}": at_once > 1, "--precision fp16": config.precision == "no"}
    with advice_for_out_of_memory(f"{at_once} frames of {size[0]} x {size[1]}", hints):
        for start in range(0, len(motions), at_once):
            made = pipeline(
                image,
                prompt,
                motion=list(motions[start : start + at_once]),
                num_inference_steps=config.num_steps,
                text_guidance=config.text_guidance,
                image_guidance=config.image_guidance,
                seed=config.seed,
            )
            frames += [frame.convert("RGB") for frame in made.frames]
            if made.flow is not None:
                flows.append(made.flow.float().cpu().numpy())
    flow = np.concatenate(flows) if flows else None
    return Generated(source=image, frames=frames, flow=flow, notes=tuple(notes))


def draw_why(generator: Generator, made: Generated, prompt: str, config: GenerationConfig) -> Image.Image:
    """Draw the contact sheet of what was made."""
    displacements = None
    if made.flow is not None and generator.pipeline.warping is not None:
        displacements = to_displacements(made.flow, generator.pipeline.warping.flow_mode, made.source.size)
    return draw_contact_sheet(made.source, made.frames, config.motion_px, prompt, displacements)


def _plan(generator: Generator, image: Image.Image, config: GenerationConfig) -> tuple[int, int]:
    multiple = int(generator.pipeline.image_processor.config["vae_scale_factor"])
    size = plan_size(image.width, image.height, config.size, multiple)
    if any(side % multiple for side in size):
        raise GenerationError(
            f"the model makes sides in multiples of {multiple}, not {size[0]} x {size[1]}: name another size"
        )
    return size


def _note_long_prompt(pipeline: Pix2GifPipeline, prompt: str, config: GenerationConfig) -> list[str]:
    cut = max(count_cut_tokens(pipeline.tokenizer, [make_prompt(prompt, value) for value in config.motion_px]))
    if not cut:
        return []
    return [
        f"the prompt, with the motion in words, is {cut} tokens longer than {NUM_TOKENS}: "
        "the model does not see its end"
    ]


def _hash_pipeline(pipeline: Pix2GifPipeline) -> str:
    """Digest all that changes frames: weights by name, the scheduler's config, the vocabulary, the variant."""
    hashed = hashlib.sha256()
    for part_name, part in sorted(pipeline.components.items()):
        if isinstance(part, torch.nn.Module):
            hashed.update(f"{part_name} {hash_weights(part)}\n".encode())
    hashed.update(pipeline.scheduler.to_json_string().encode())
    hashed.update(repr(sorted(pipeline.tokenizer.get_vocab().items())).encode())
    hashed.update(str(pipeline.config["model_variant"]).encode())
    return hashed.hexdigest()
