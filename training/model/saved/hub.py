"""Upload a model's folder to the Hugging Face hub."""

from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from training.model.errors import ModelError
from training.model.pretrained.loading import INDEX_FILE, find_model_folder

_HTTP_ERROR: type[Any] = HfHubHTTPError.__mro__[1]
"""Base of all errors of the HTTP client, which differs among versions of huggingface_hub."""


def push_folder(folder: Path, name: str, *, private: bool = False, message: str | None = None) -> str:
    """Upload a model's folder to the hub, creating the repository OWNER/NAME if there is none; return its URL.

    The address of the hub and the token are those of huggingface_hub: HF_ENDPOINT, HF_TOKEN or `hf auth login`. Raises
    ModelError if the folder is no model, or the hub cannot be reached or refuses.
    """
    folder = find_model_folder(folder)
    if not (folder / INDEX_FILE).is_file():
        raise ModelError(f"there is no model in {folder}, {INDEX_FILE} is missing; name a folder such as run/model")
    api = HfApi()
    try:
        url = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message=message or "Upload a Pix2Gif model")
    except HFValidationError as error:
        raise ModelError(f"the name {name!r} is not OWNER/NAME of a repository on the hub") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        advice = "log in with `hf auth login`, or set HF_TOKEN" if status in (401, 403) else "try again later"
        raise ModelError(f"the hub refused {name} with status {status}; {advice}") from error
    except (OSError, _HTTP_ERROR) as error:
        raise ModelError(f"the hub cannot be reached ({error}); check the network and HF_ENDPOINT") from error
    return str(url)
