"""Load one part of a model whole, or say in one sentence that it is not there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from training.model.errors import ModelError

LOADING_ERRORS = (OSError, ValueError, RuntimeError, SafetensorError)
"""What diffusers and transformers raise where files are missing, torn, or another model's."""


def refuse_what_is_nowhere(place: str) -> None:
    """Raise ModelError for a word that is neither a folder here nor a name on the hub, before anyone asks the hub."""
    if "/" not in place and not Path(place).is_dir():
        raise ModelError(f"there is no folder {place}, and models of the hub are named OWNER/NAME")


def load_weights(from_pretrained: Callable[..., Any], what: str, place: str | Path, **options: Any) -> Any:
    """Load weights by diffusers' or transformers' `from_pretrained`; `what` names the part in an error.

    Raises ModelError where there are none, and where some are missing: both libraries would fill in random ones.
    """
    where = f"{place}/{options['subfolder']}" if "subfolder" in options else str(place)
    try:
        model, info = from_pretrained(place, output_loading_info=True, **options)
    except LOADING_ERRORS as error:
        raise ModelError(
            f"no {what} can be loaded from {where}: name a folder that save_pretrained wrote, or a repository of the "
            "hub that can be reached"
        ) from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(f"the {what} in {where} is not whole: {missing[0]} is missing, one of {len(missing)}")
    return model
