"""`pix2gif verify`: check the integrity of a finished data set."""

from typing import Annotated

import typer

from curation.commands.arguments import Dataset


def verify(
    out: Dataset,
    full: Annotated[bool, typer.Option("--full", help="Also decode every picture and check its size.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
) -> None:
    """Check every file of a finished data set: hashes, sizes, and whether the files agree with each other.

    Stops at the first error, and exits with status 1.

    Example: pix2gif verify shards/
    """
    from shards.storage.location import parse_location
    from shards.verification.dataset import verify_dataset

    result = verify_dataset(parse_location(out), full=full)
    if not quiet:
        typer.echo(str(result))
