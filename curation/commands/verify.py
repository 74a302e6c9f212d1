"""`pix2gif verify`: check the integrity of a finished data set."""

from typing import Annotated

import typer


def verify(
    out: Annotated[str, typer.Argument(help="A finished data set: a folder, or s3://bucket/prefix.")],
    full: Annotated[bool, typer.Option("--full", help="Also decode every picture and check its size.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
) -> None:
    """Check every file of a finished data set against its manifest and the others. Stops at the first error."""
    from shards.storage.location import parse_location
    from shards.verification.dataset import verify_dataset

    result = verify_dataset(parse_location(out), full=full)
    if not quiet:
        typer.echo(str(result))
