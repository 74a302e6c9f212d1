"""The generation pipeline in diffusers format: a source image, a caption and motion magnitudes -> frames of a GIF."""

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from diffusers.image_processor import PipelineImageInput, VaeImageProcessor
from diffusers.loaders.lora_pipeline import StableDiffusionLoraLoaderMixin
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.modeling_utils import ModelMixin
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
from training.model.motion import MotionEmbedding
from training.model.pix2gif import Pix2Gif
from training.model.text.encoder import encode_null_text, encode_text, make_prompt, tokenize
from training.model.warp import WarpingModule

Row = Literal["both", "image", "neither"]
"""A row of guidance: the conditions of a prediction. The motion is always one of them."""


@dataclass
class Pix2GifOutput(BaseOutput):
    """Frames, and the flow that the warping module predicted for each."""

    frames: Any
    """One frame per motion: PIL images, an array [F, H, W, 3] (`np`), or a tensor [F, C, H, W] (`pt`, `latent`)."""

    flow: Tensor | None = None
    """Flow of each frame, [F, 2, h, w], in grid units; None without a warping module."""


class Pix2GifPipeline(DiffusionPipeline, StableDiffusionLoraLoaderMixin):
    """All parts that generation needs. The motion embedding and the warping module are None in variants without them.

    `load_lora_weights` loads a LoRA for Stable Diffusion 1.x, such as LCM-LoRA, into the U-Net and the text model.
    """

    model_cpu_offload_seq = "text_encoder->motion_embedding->warping->unet->vae"  # type: ignore[assignment]
    _optional_components = ["motion_embedding", "warping"]  # noqa: RUF012 (Declared like this in diffusers.)
    _callback_tensor_inputs = ["latents"]  # noqa: RUF012

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
        motion_embedding: ModelMixin | None = None,
        warping: ModelMixin | None = None,
        model_variant: str = "full",
        trained_on: dict[str, int] | None = None,
    ) -> None:
        """Combine the parts. Any diffusers scheduler of the U-Net's prediction type works; the authors' is Euler's.

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
        callback_on_step_end: Callable[[Any, int, Tensor, dict[str, Any]], dict[str, Any]] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> Pix2GifOutput:
        """Generate one frame per motion magnitude, in one batch, each from the source image itself.

        image: a single image, resized to `height` x `width`, or with its sides rounded down to multiples of 32.
        prompt: the caption without the motion, whose words are appended here. motion: magnitudes in pixels.
        generator or seed: all frames share the same initial and ancestral noise. So frames differ only by their motion,
        and do not depend on the other frames of the batch. A list of generators gives each frame noise of its own.
        text_guidance, image_guidance: s_T and s_I of `guide`; the motion is a condition in all three predictions. A
        prediction whose weight is zero is not computed: with 1 and 1 there is one instead of three.
        callback_on_step_end: called after each step with the pipeline, the step, the timestep and a dict of `latents`;
        it returns a dict whose `latents`, if there are any, replace them.
        Raises ModelError for no motion, a motion outside the embedding, several images, or too few generators.
        """
        if unknown := set(callback_on_step_end_tensor_inputs) - set(self._callback_tensor_inputs):
            raise ModelError(f"callbacks cannot have {', '.join(sorted(unknown))}; they can have latents")
        model = self.model
        rows = choose_rows(text_guidance, image_guidance)
        generators = _make_generators(len(motion), generator, seed)
        with torch.no_grad(), _evaluating(model):
            source = self._encode_image(image, height, width)
            prepared = model.prepare(*self._stack_conditions(source, prompt, motion, rows))
            self.scheduler.set_timesteps(num_inference_steps, device=self._execution_device)
            latents = randn_tensor(
                (len(motion), *source.shape[1:]), generators, self._execution_device, self.unet.dtype
            )
            step_options = {}
            if "generator" in inspect.signature(self.scheduler.step).parameters:
                step_options["generator"] = generators
            latents = latents * self.scheduler.init_noise_sigma
            for step, timestep in enumerate(self.progress_bar(self.scheduler.timesteps)):
                noisy = self.scheduler.scale_model_input(latents, timestep)
                noise = model.denoise(noisy.repeat(len(rows), 1, 1, 1), timestep, prepared)
                noise = guide(noise, text_guidance, image_guidance)
                latents = self.scheduler.step(noise, timestep, latents, return_dict=False, **step_options)[0]
                if callback_on_step_end is not None:
                    tensors = {"latents": latents} if callback_on_step_end_tensor_inputs else {}
                    latents = callback_on_step_end(self, step, timestep, tensors).get("latents", latents)
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

    def _stack_conditions(
        self, source: Tensor, prompt: str, motion: list[float], rows: Sequence[Row]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Stack source latents [R F, 4, h, w], text embeddings [R F, 77, D] and motions [R F] of R rows of guidance."""
        device, num_frames = self._execution_device, len(motion)
        magnitudes = torch.tensor(motion, dtype=torch.float32)
        if self.motion_embedding is not None:
            self.motion_embedding.check(magnitudes)
        token_ids = tokenize(self.tokenizer, [make_prompt(prompt, motion_px) for motion_px in motion])
        text = encode_text(self.text_encoder, token_ids.to(device))
        null = encode_null_text(self.tokenizer, self.text_encoder).expand_as(text)
        sources = source.expand(num_frames, -1, -1, -1)
        return (
            torch.cat([torch.zeros_like(sources) if row == "neither" else sources for row in rows]),
            torch.cat([text if row == "both" else null for row in rows]).to(self.unet.dtype),
            magnitudes.repeat(len(rows)).to(device),
        )


def choose_rows(text_guidance: float, image_guidance: float) -> tuple[Row, ...]:
    """Return the predictions that `guide` needs: those whose weight is not zero, in the order of the batch."""
    weights: dict[Row, float] = {
        "both": text_guidance,
        "image": image_guidance - text_guidance,
        "neither": 1 - image_guidance,
    }
    return tuple(row for row, weight in weights.items() if weight)


def guide(noise: Tensor, text_guidance: float, image_guidance: float) -> Tensor:
    """Combine noise predictions by classifier-free guidance (Brooks et al., 2023, eq. 3): [R F, ...] -> [F, ...].

    Returns u + s_T (c - i) + s_I (i - u), with c, i and u the noise for (text, image), (no text, image) and (no text,
    no image), s_T = `text_guidance`, s_I = `image_guidance`. `noise` has the R of them that `choose_rows` names.
    """
    rows = choose_rows(text_guidance, image_guidance)
    predictions = dict(zip(rows, noise.chunk(len(rows)), strict=True))
    if len(rows) == 1:
        return predictions[rows[0]]
    if "image" not in predictions:  # Both scales are equal.
        return predictions["neither"] + text_guidance * (predictions["both"] - predictions["neither"])
    image = predictions["image"]
    guided = predictions.get("neither", image)
    if "both" in predictions:
        guided = guided + text_guidance * (predictions["both"] - image)
    if "neither" in predictions:
        guided = guided + image_guidance * (image - predictions["neither"])
    return guided


def _make_generators(
    num: int, generator: torch.Generator | list[torch.Generator] | None, seed: int | None
) -> list[torch.Generator]:
    """Return the generator of each frame: the given ones, or `num` in the same state."""
    if not num:
        raise ModelError("there is no motion; name one magnitude or more, one for each frame")
    if generator is not None and seed is not None:
        raise ModelError("a generator and a seed exclude each other; name one of them")
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
