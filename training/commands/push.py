"""`pix2gif push`: a model's folder -> a repository on the Hugging Face hub."""

from pathlib import Path
from typing import Annotated

import typer


def push(
    model: Annotated[Path, typer.Argument(help="The model: RUN, or RUN/model.")],
    name: Annotated[str, typer.Argument(help="The repository, OWNER/NAME; it is created if there is none.")],
    private: Annotated[bool, typer.Option("--private", help="Create the repository as a private one.")] = False,
    message: Annotated[str | None, typer.Option(help="Message of the commit.")] = None,
) -> None:
    """Upload a model to the Hugging Face hub, with its code, card and note on licences.

    Log in with `hf auth login` or set HF_TOKEN. HF_ENDPOINT names another hub.

    Example: pix2gif push run/model me/pix2gif-cats
    """
    from training.model.saved.hub import push_folder

    typer.echo(f"The model is at {push_folder(model, name, private=private, message=message)}")
