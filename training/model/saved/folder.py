"""A model's folder: save a pipeline with its code and its card, load it completely."""

import json
from pathlib import Path
from typing import Any

import diffusers
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from huggingface_hub import snapshot_download
from transformers import CLIPTextModel, CLIPTokenizer

from shards.json_fields import load_json
from training.model.config import ModelConfig, Variant
from training.model.errors import ModelError
from training.model.motion import MotionEmbedding
from training.model.pipeline import Pix2GifPipeline
from training.model.pix2gif import Pix2Gif
from training.model.pretrained.loading import INDEX_FILE, LOADING_ERRORS, find_model_folder, load_weights
from training.model.saved.card import CARD, NOTICE, Origin, make_card, make_notice
from training.model.saved.portable import bundle_code
from training.model.text.encoder import check_tokenizer
from training.model.warp import WarpingModule
from training.runtime.versions import software_versions

_CODE_FILE = "pipeline"
_DATA_FILES = ("*.json", "*.txt", "*.safetensors")
"""Files of a repository that `load_pipeline` downloads: it runs no code of others."""


def save_pipeline(pipeline: Pix2GifPipeline, folder: Path, origin: Origin) -> None:
    """Save a pipeline so that diffusers opens it without this project.

        DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)

    Writes, besides the parts, their code, a model card and a note on licences.
    """
    pipeline.save_pretrained(folder)
    version = software_versions("pix2gif")["pix2gif"]
    index_path = folder / INDEX_FILE
    index = json.loads(index_path.read_text(encoding="utf-8"))
    index["_class_name"] = [_CODE_FILE, type(pipeline).__name__]
    (folder / f"{_CODE_FILE}.py").write_text(bundle_code(type(pipeline), version), encoding="utf-8")
    for name, part in (("motion_embedding", pipeline.motion_embedding), ("warping", pipeline.warping)):
        if part is not None:
            module = type(part).__module__.split(".")[-1]
            (folder / name / f"{module}.py").write_text(bundle_code(type(part), version), encoding="utf-8")
            index[name] = [module, type(part).__name__]
    index_path.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    card = make_card(origin, pipeline.trained_on, pipeline.config["model_variant"])
    (folder / CARD).write_text(card, encoding="utf-8")
    (folder / NOTICE).write_text(make_notice(origin), encoding="utf-8")


def load_pipeline(name_or_folder: str | Path) -> Pix2GifPipeline:
    """Load a pipeline from a folder, the folder of a training run that holds one, or a hub repository.

    Runs no code that came with the model.

    Raises ModelError for missing or damaged parts, where diffusers would initialize weights randomly.
    """
    folder = _find_folder(name_or_folder)
    model = load_model(folder)
    vae = load_weights(AutoencoderKL.from_pretrained, "autoencoder", folder / "vae")
    text_encoder = load_weights(CLIPTextModel.from_pretrained, "text model", folder / "text_encoder")
    try:
        index = load_json((folder / INDEX_FILE).read_bytes())
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        check_tokenizer(tokenizer)
        return Pix2GifPipeline(
            unet=model.unet,
            motion_embedding=model.motion_embedding,
            warping=model.warping,
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            scheduler=_find_scheduler(index).from_pretrained(folder / "scheduler"),
            model_variant=index["model_variant"],
            trained_on=index.get("trained_on"),
        )
    except (*LOADING_ERRORS, ModelError) as error:
        raise ModelError(
            f"the pipeline in {name_or_folder} is incomplete: its index, tokenizer or scheduler is missing or damaged"
        ) from error


def load_model(folder: str | Path) -> Pix2Gif:
    """Load the trained parts from the folder of a saved pipeline. Raises ModelError for a folder without a model."""
    folder = Path(folder)
    variant = _read_variant(folder)
    motion_embedding = warping = None
    unet = load_weights(UNet2DConditionModel.from_pretrained, "U-Net", folder / "unet")
    # Load every part that exists, whatever the variant: the constructor reports missing and superfluous parts.
    if (path := folder / "motion_embedding").is_dir():
        motion_embedding = load_weights(MotionEmbedding.from_pretrained, "motion embedding", path)
    if (path := folder / "warping").is_dir():
        warping = load_weights(WarpingModule.from_pretrained, "warping module", path)
    return Pix2Gif(unet, motion_embedding, warping, variant)


def _read_variant(folder: Path) -> Variant:
    """Read the variant of a saved pipeline. Raises ModelError for a folder without one."""
    path = folder / INDEX_FILE
    if not path.is_file():
        raise ModelError(f"there is no Pix2Gif model in {folder}")
    try:
        return ModelConfig(variant=load_json(path.read_text(encoding="utf-8"))["model_variant"]).variant
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} does not name a variant of Pix2Gif") from error


def _find_scheduler(index: dict[str, Any]) -> type[Any]:
    """Return the scheduler's class that the index names. Raises ModelError if diffusers has none of this name."""
    found = getattr(diffusers, str(index["scheduler"][1]), None)
    if not (isinstance(found, type) and issubclass(found, SchedulerMixin)):
        raise ModelError(f"{index['scheduler'][1]} is no scheduler of diffusers")
    return found


def _find_folder(name_or_folder: str | Path) -> Path:
    """Return the folder of a pipeline, downloaded from the hub if it is not on this machine."""
    if Path(name_or_folder).is_dir():
        return find_model_folder(Path(name_or_folder))
    try:
        return Path(snapshot_download(str(name_or_folder), allow_patterns=list(_DATA_FILES)))
    except LOADING_ERRORS as error:
        raise ModelError(
            f"no Pix2Gif pipeline can be loaded from {name_or_folder}; name a folder that `pix2gif train` wrote, or a "
            "hub repository that can be reached"
        ) from error
