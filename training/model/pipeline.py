"""The generation pipeline in diffusers format: a source image, a caption and motion magnitudes -> frames of a GIF."""

import contextlib
import dataclasses
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers.image_processor import PipelineImageInput, VaeImageProcessor
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from diffusers.utils.outputs import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from training.model.config import ModelConfig, TrainedOn
from training.model.errors import ModelError
from training.model.latents import decode_latents, encode_source
from training.model.loading import LOADING_ERRORS, load_weights
from training.model.motion import MotionEmbedding
from training.model.pix2gif import INDEX_FILE, MODEL_FOLDER, Pix2Gif
from training.model.text import check_tokenizer, encode_null_text, encode_text, make_prompt, tokenize
from training.model.warp import WarpingModule


@dataclass
class Pix2GifOutput(BaseOutput):
    """Frames, and the flow that the warping module predicted for each."""

    frames: Any
    """One frame per motion: PIL images, an array [F, H, W, 3] (`np`), or a tensor [F, C, H, W] (`pt`, `latent`)."""

    flow: Tensor | None = None
    """Flow of each frame, [F, 2, h, w], in grid units; None without a warping module."""


class Pix2GifPipeline(DiffusionPipeline):
    """All parts that generation needs. `save_pretrained` writes each part as safetensors with its config.

    Load it with `load_pipeline`. The motion embedding and the warping module are None in variants without them.
    """

    model_cpu_offload_seq = "text_encoder->motion_embedding->warping->unet->vae"  # type: ignore[assignment]
    _optional_components = ["motion_embedding", "warping"]  # noqa: RUF012 (Declared like this in diffusers.)

    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    unet: UNet2DConditionModel
    scheduler: Any
    motion_embedding: MotionEmbedding | None
    warping: WarpingModule | None

    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: UNet2DConditionModel,
        scheduler: EulerAncestralDiscreteScheduler,
        motion_embedding: MotionEmbedding | None = None,
        warping: WarpingModule | None = None,
        model_variant: str = "full",
        trained_on: dict[str, int] | None = None,
    ) -> None:
        """Combine the parts. Any diffusers scheduler that predicts noise works; the authors use Euler ancestral.

        `trained_on` has the fields of TrainedOn; None means the paper's.
        """
        super().__init__()
        self.register_modules(  # type: ignore[no-untyped-call]
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            motion_embedding=motion_embedding,
            warping=warping,
        )
        # An object: diffusers takes every list in its index for a part.
        trained_on = dataclasses.asdict(TrainedOn(**(trained_on or {})))
        self.register_to_config(model_variant=model_variant, trained_on=trained_on)  # type: ignore[no-untyped-call]
        # FlowNet halves the latent twice, hence the factor 4.
        multiple = 4 * 2 ** (len(vae.config["block_out_channels"]) - 1)
        self.image_processor = VaeImageProcessor(vae_scale_factor=multiple)
        self.model  # noqa: B018 (Raises if the parts are not those of the variant.)

    @property
    def trained_on(self) -> TrainedOn:
        """The motion and the size of the pictures that the model was trained on."""
        return TrainedOn(**self.config["trained_on"])

    @property
    def model(self) -> Pix2Gif:
        """The trained parts as one module. It shares its weights with the pipeline."""
        variant = ModelConfig(variant=self.config["model_variant"]).variant
        return Pix2Gif(self.unet, self.motion_embedding, self.warping, variant)

    def __call__(
        self,
        image: PipelineImageInput,
        prompt: str,
        motion: list[float],
        num_inference_steps: int = 100,
        text_guidance: float = 7.5,
        image_guidance: float = 1.8,
        height: int | None = None,
        width: int | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        seed: int | None = None,
        output_type: Literal["pil", "np", "pt", "latent"] = "pil",
    ) -> Pix2GifOutput:
        """Generate one frame per motion magnitude, in one batch, each from the source image itself.

        image: a single image, resized to `height` x `width`, or with its sides rounded down to multiples of 32.
        prompt: the caption without the motion, whose words are appended here. motion: magnitudes in pixels.
        generator or seed: all frames share the same initial and ancestral noise. So frames differ only by their motion,
        and do not depend on the other frames of the batch. A list of generators gives each frame noise of its own.
        text_guidance, image_guidance: s_T and s_I of `guide`; the motion is a condition in all three predictions.
        Raises ModelError for no motion, a motion outside the embedding, several images, or too few generators.
        """
        if not motion:
            raise ModelError("there is no motion; name one magnitude or more, one for each frame")
        if generator is not None and seed is not None:
            raise ModelError("a generator and a seed exclude each other; name one of them")
        model = self.model
        generators = _make_generators(len(motion), generator, seed)
        with torch.no_grad(), _evaluating(model):
            source = self._encode_image(image, height, width)
            # Batch of 3 F: (text, image), (no text, image), (no text, no image), F each.
            prepared = model.prepare(*self._stack_conditions(source, prompt, motion))
            self.scheduler.set_timesteps(num_inference_steps, device=self._execution_device)
            latents = randn_tensor(
                (len(motion), *source.shape[1:]), generators, self._execution_device, self.unet.dtype
            )
            latents = latents * self.scheduler.init_noise_sigma
            step_options = {}
            if "generator" in inspect.signature(self.scheduler.step).parameters:
                step_options["generator"] = generators
            for timestep in self.progress_bar(self.scheduler.timesteps):
                noisy = self.scheduler.scale_model_input(latents, timestep)
                noise = model.denoise(noisy.repeat(3, 1, 1, 1), timestep, prepared)
                noise = guide(noise, text_guidance, image_guidance)
                latents = self.scheduler.step(noise, timestep, latents, return_dict=False, **step_options)[0]
            if output_type == "latent":
                frames: Any = latents
            else:
                frames = self.image_processor.postprocess(decode_latents(self.vae, latents), output_type=output_type)
        self.maybe_free_model_hooks()  # type: ignore[no-untyped-call]
        flow = None if prepared.flow is None else prepared.flow[: len(motion)]
        return Pix2GifOutput(frames=frames, flow=flow)

    def _encode_image(self, image: PipelineImageInput, height: int | None, width: int | None) -> Tensor:
        """Encode one image to E(c_I), [1, 4, h, w]."""
        pixels = self.image_processor.preprocess(image, height, width)
        if pixels.shape[0] != 1:
            raise ModelError(f"there are {pixels.shape[0]} images; a GIF is generated from one")
        return encode_source(self.vae, pixels.to(self._execution_device)).to(self.unet.dtype)

    def _stack_conditions(self, source: Tensor, prompt: str, motion: list[float]) -> tuple[Tensor, Tensor, Tensor]:
        """Stack source latents [3 F, 4, h, w], text embeddings [3 F, 77, D] and motions [3 F] for guidance."""
        device, num_frames = self._execution_device, len(motion)
        magnitudes = torch.tensor(motion, dtype=torch.float32)
        if self.motion_embedding is not None:
            self.motion_embedding.check(magnitudes)
        token_ids = tokenize(self.tokenizer, [make_prompt(prompt, motion_px) for motion_px in motion])
        text = encode_text(self.text_encoder, token_ids.to(device))
        null = encode_null_text(self.tokenizer, self.text_encoder).expand_as(text)
        sources = source.expand(num_frames, -1, -1, -1)
        return (
            torch.cat([sources, sources, torch.zeros_like(sources)]),
            torch.cat([text, null, null]).to(self.unet.dtype),
            magnitudes.repeat(3).to(device),
        )


def guide(noise: Tensor, text_guidance: float, image_guidance: float) -> Tensor:
    """Combine noise predictions by classifier-free guidance (Brooks et al., 2023, eq. 3): [3 F, ...] -> [F, ...].

    Returns u + s_T (c - i) + s_I (i - u), with c, i and u the noise for (text, image), (no text, image) and (no text,
    no image), s_T = `text_guidance`, s_I = `image_guidance`.
    """
    both, image, neither = noise.chunk(3)
    return neither + text_guidance * (both - image) + image_guidance * (image - neither)


def load_pipeline(name_or_folder: str | Path) -> Pix2GifPipeline:
    """Load a pipeline from a folder, from the folder of a training run that holds one, or from a hub repository.

    Raises ModelError for missing or damaged parts, where `from_pretrained` would initialize weights randomly.
    """
    folder = _find_folder(name_or_folder)
    model = Pix2Gif.from_pretrained(folder)
    vae = load_weights(AutoencoderKL.from_pretrained, "autoencoder", folder / "vae")
    text_encoder = load_weights(CLIPTextModel.from_pretrained, "text model", folder / "text_encoder")
    try:
        pipeline: Pix2GifPipeline = Pix2GifPipeline.from_pretrained(
            folder,
            unet=model.unet,
            motion_embedding=model.motion_embedding,
            warping=model.warping,
            vae=vae,
            text_encoder=text_encoder,
        )
        check_tokenizer(pipeline.tokenizer)
    except (*LOADING_ERRORS, AttributeError, ModelError) as error:
        raise ModelError(
            f"the pipeline in {name_or_folder} is incomplete: its index, tokenizer or scheduler is missing or damaged"
        ) from error
    return pipeline


def _find_folder(name_or_folder: str | Path) -> Path:
    """Return the folder of a pipeline, downloaded from the hub if it is not on this machine."""
    folder = Path(name_or_folder)
    if (folder / MODEL_FOLDER / INDEX_FILE).is_file():
        return folder / MODEL_FOLDER
    if folder.is_dir():
        return folder
    try:
        return Path(Pix2GifPipeline.download(str(name_or_folder)))
    except LOADING_ERRORS as error:
        raise ModelError(
            f"no Pix2Gif pipeline can be loaded from {name_or_folder}; name a folder that `pix2gif train` wrote, or a "
            "hub repository that can be reached"
        ) from error


def _make_generators(
    num: int, generator: torch.Generator | list[torch.Generator] | None, seed: int | None
) -> list[torch.Generator]:
    """Return the generator of each frame: the given ones, or `num` in the same state."""
    if isinstance(generator, list):
        if len(generator) != num:
            raise ModelError(f"there are {len(generator)} generators for {num} frames; name one for each")
        return generator
    if seed is None:
        device = "cpu" if generator is None else generator.device
        seed = int(torch.randint(2**62, (1,), generator=generator, device=device))
    return [torch.Generator().manual_seed(seed) for _ in range(num)]


@contextlib.contextmanager
def _evaluating(model: Pix2Gif) -> Iterator[None]:
    """Set the parts to evaluation mode, so that frames do not share batch statistics, and restore their mode."""
    training = [part for part in model.children() if part.training]
    model.eval()
    try:
        yield
    finally:
        for part in training:
            part.train()
