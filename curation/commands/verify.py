"""`pix2gif verify`: check the integrity of a finished data set."""

from typing import Annotated

import typer


def verify(
    out: Annotated[str, typer.Argument(help="A finished data set: a folder, or s3://bucket/prefix.")],
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
) -> None:
    """Check the hashes and counts of a finished data set against its manifest. Stops at the first error."""
    from shards.storage.location import parse_location
    from shards.verify import verify_dataset

    result = verify_dataset(parse_location(out))
    if not quiet:
        typer.echo(str(result))
