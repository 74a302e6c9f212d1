"""Load one part of a model completely, or raise a ModelError that names it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from training.model.errors import ModelError

INDEX_FILE = "model_index.json"
"""The index of a saved diffusers pipeline."""
MODEL_FOLDER = "model"
"""The folder of a training run that holds the pipeline."""

LOADING_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    TypeError,
    KeyError,
    AttributeError,
    SafetensorError,
    StrictDataclassError,
)
"""What diffusers and transformers raise for files that are missing, damaged or another model's."""


def find_model_folder(folder: Path) -> Path:
    """Return RUN/model for the folder of a training run that holds a model, and any other folder as it is."""
    return folder / MODEL_FOLDER if (folder / MODEL_FOLDER / INDEX_FILE).is_file() else folder


def check_name_or_folder(name_or_folder: str) -> None:
    """Raise ModelError, without a request to the hub, for neither a folder on this machine nor OWNER/NAME."""
    if "/" not in name_or_folder and not Path(name_or_folder).is_dir():
        raise ModelError(f"there is no folder {name_or_folder}, and models on the hub are named OWNER/NAME")


def load_weights(from_pretrained: Callable[..., Any], part: str, name_or_folder: str | Path, **options: Any) -> Any:
    """Load weights with a `from_pretrained` of diffusers or transformers; `part` names them in errors.

    Raises ModelError if weights are missing, which both libraries would initialize randomly.
    """
    path = f"{name_or_folder}/{options['subfolder']}" if "subfolder" in options else str(name_or_folder)
    try:
        model, info = from_pretrained(name_or_folder, output_loading_info=True, **options)
    except LOADING_ERRORS as error:
        raise ModelError(
            f"no {part} can be loaded from {path}; name a folder that save_pretrained wrote, or a hub repository that "
            "can be reached"
        ) from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(f"the {part} in {path} is incomplete: {missing[0]} is missing, one of {len(missing)}")
    return model
