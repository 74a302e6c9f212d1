"""Generate the frames of one GIF from a loaded pipeline, an image, a prompt and a config.

F frames, one per motion magnitude; h, w: size of the latent.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from diffusers.schedulers.scheduling_lcm import LCMScheduler
from numpy.typing import NDArray
from PIL import Image

from training.generation.config import EVEN, GenerationConfig
from training.generation.errors import GenerationError
from training.generation.images import SourceImage, fit_image, plan_size
from training.generation.lora import load_lora
from training.generation.motions import list_motion_notes
from training.generation.sheet import draw_contact_sheet, to_displacements
from training.model.errors import ModelError
from training.model.pipeline import Pix2GifPipeline
from training.model.pretrained.loading import INDEX_FILE, find_model_folder
from training.model.saved import load_pipeline
from training.model.text.encoder import NUM_TOKENS, count_cut_tokens, make_prompt
from training.runtime.config_fields import Precision
from training.runtime.devices import DTYPES, check_precision, choose_device
from training.runtime.guards import explain_out_of_memory
from training.runtime.weights import hash_weights

_SCHEDULERS: dict[str, Any] = {
    "euler-a": EulerAncestralDiscreteScheduler,
    "dpm++": DPMSolverMultistepScheduler,
    "lcm": LCMScheduler,
}


@dataclass(frozen=True, kw_only=True)
class Generator:
    """A pipeline on a device, and the identity of its weights."""

    pipeline: Pix2GifPipeline
    name_or_folder: str
    """The folder or hub repository that the pipeline was loaded from."""
    sha256: str
    """SHA-256 of everything in the model that determines frames."""
    device: str
    precision: Precision


@dataclass(frozen=True, kw_only=True)
class Generated:
    """The frames of one GIF."""

    source: Image.Image
    """The source image at the size of the frames."""
    frames: list[Image.Image]
    """RGB, one per motion magnitude, in the same order."""
    flow: NDArray[np.float32] | None
    """[F, 2, h, w], grid units; None without a warping module."""
    notes: tuple[str, ...]
    """Notes for the user, without a full stop."""


def load_generator(
    name_or_folder: str,
    device: str | None = None,
    precision: Precision = "no",
    *,
    lora: str | None = None,
    lora_scale: float = 1.0,
) -> Generator:
    """Load a pipeline from a folder or hub repository, and a LoRA into it, onto a device.

    `device` None is the best available one. Raises TrainingError for a missing model, LoRA or device.
    """
    chosen = choose_device(device, allow_mps=True)
    check_precision(precision, chosen)
    _check_model_path(name_or_folder)
    pipeline = load_pipeline(name_or_folder)
    if lora is not None:
        load_lora(pipeline, lora, lora_scale)
    sha256 = _hash_pipeline(pipeline)
    pipeline.to(chosen, DTYPES[precision])
    return Generator(
        pipeline=pipeline, name_or_folder=name_or_folder, sha256=sha256, device=str(chosen), precision=precision
    )


def generate(generator: Generator, source: SourceImage, prompt: str, config: GenerationConfig) -> Generated:
    """Generate the frames of one GIF, `config.batch` at a time. Frames depend on the batch size only by rounding.

    Raises TrainingError if a magnitude is not in the model's embedding or the device runs out of memory.
    """
    pipeline = generator.pipeline
    size, model_size = _plan_sizes(pipeline, source.image, config)
    notes = [
        *source.notes,
        *list_motion_notes(config.motion_px, pipeline.trained_on),
        *_list_prompt_notes(pipeline, prompt, config),
        *_list_size_notes(pipeline, source.image, model_size),
    ]
    image = fit_image(source.image, model_size, config.fit)
    pipeline.scheduler = _SCHEDULERS[config.scheduler].from_config(pipeline.scheduler.config)
    motions, batch = config.motion_px, config.batch or len(config.motion_px)
    frames: list[Image.Image] = []
    flows = []
    hints = {f"--batch {max(1, batch // 2)}": batch > 1, "--precision fp16": config.precision == "no"}
    with explain_out_of_memory(f"{batch} frames of {model_size[0]} x {model_size[1]}", hints):
        for start in range(0, len(motions), batch):
            output = pipeline(
                image,
                prompt,
                motion=list(motions[start : start + batch]),
                num_inference_steps=config.num_steps,
                text_guidance=config.text_guidance,
                image_guidance=config.image_guidance,
                seed=config.seed,
            )
            frames += [frame.convert("RGB").resize(size, Image.Resampling.LANCZOS) for frame in output.frames]
            if output.flow is not None:
                flows.append(output.flow.float().cpu().numpy())
    flow = np.concatenate(flows) if flows else None
    shown = fit_image(source.image, size, config.fit)
    return Generated(source=shown, frames=frames, flow=flow, notes=tuple(notes))


def draw_generated_sheet(
    generator: Generator, generated: Generated, prompt: str, config: GenerationConfig
) -> Image.Image:
    """Draw the contact sheet: source, frames and the flow behind each frame."""
    displacements = None
    if generated.flow is not None and generator.pipeline.warping is not None:
        displacements = to_displacements(generated.flow, generator.pipeline.warping.flow_mode, generated.source.size)
    return draw_contact_sheet(generated.source, generated.frames, config.motion_px, prompt, displacements)


def _check_model_path(name_or_folder: str) -> None:
    """Raise ModelError for a path that is not a model's, before the hub is asked for it."""
    folder = Path(name_or_folder)
    if folder.is_dir() and not (find_model_folder(folder) / INDEX_FILE).is_file():
        raise ModelError(
            f"{folder} is not a model folder, {INDEX_FILE} is missing; name one that `pix2gif train` wrote at its end"
        )
    if not folder.exists() and (name_or_folder.count("/") != 1 or name_or_folder.startswith((".", "/", "~"))):
        raise ModelError(
            f"there is no model folder {name_or_folder}; name one that `pix2gif train` wrote, or a hub repository"
        )


def _plan_sizes(
    pipeline: Pix2GifPipeline, image: Image.Image, config: GenerationConfig
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return width and height of the frames, and those at which the model generates them."""
    multiple = int(pipeline.image_processor.config["vae_scale_factor"])
    size = model_size = _get_trained_size(pipeline)
    if config.fit == "squash":
        size = plan_size(image.width, image.height, config.size or (min(model_size),), EVEN)
    elif config.size is not None:
        size = model_size = plan_size(image.width, image.height, config.size, multiple)
    if any(side % multiple for side in model_size):
        raise GenerationError(
            f"the size {model_size[0]} x {model_size[1]} does not fit the model; name a size in multiples of "
            f"{multiple}, with --fit crop or resize"
        )
    return size, model_size


def _get_trained_size(pipeline: Pix2GifPipeline) -> tuple[int, int]:
    return pipeline.trained_on.width, pipeline.trained_on.height


def _list_size_notes(pipeline: Pix2GifPipeline, image: Image.Image, model_size: tuple[int, int]) -> list[str]:
    """List notes on an image that is enlarged and on a size that the model was not trained on."""
    notes, trained_size = [], _get_trained_size(pipeline)
    if min(image.size) < min(model_size):
        notes.append(f"the image is enlarged from {image.width} x {image.height}")
    if model_size != trained_size:
        notes.append(
            f"frames are generated at {model_size[0]} x {model_size[1]}, but the model was trained at "
            f"{trained_size[0]} x {trained_size[1]}; --fit squash generates at that size"
        )
    return notes


def _list_prompt_notes(pipeline: Pix2GifPipeline, prompt: str, config: GenerationConfig) -> list[str]:
    prompts = [make_prompt(prompt, motion_px) for motion_px in config.motion_px]
    if num_cut := max(count_cut_tokens(pipeline.tokenizer, prompts)):
        return [f"the prompt with the motion in words is {num_cut} tokens longer than {NUM_TOKENS}; its end is cut off"]
    return []


def _hash_pipeline(pipeline: Pix2GifPipeline) -> str:
    """Hash everything that determines frames: weights, scheduler config, vocabulary and variant."""
    hashed = hashlib.sha256()
    for name, part in sorted(pipeline.components.items()):
        if isinstance(part, torch.nn.Module):
            hashed.update(f"{name} {hash_weights(part)}\n".encode())
    hashed.update(pipeline.scheduler.to_json_string().encode())
    hashed.update(repr(sorted(pipeline.tokenizer.get_vocab().items())).encode())
    hashed.update(str(pipeline.config["model_variant"]).encode())
    return hashed.hexdigest()
