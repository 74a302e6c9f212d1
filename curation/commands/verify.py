"""`pix2gif verify`: a finished data set -> proof that it holds, or the first thing that does not."""

from typing import Annotated

import typer


def verify(
    out: Annotated[str, typer.Argument(help="A folder that `pix2gif curate` finished, or s3://...")],
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Prove a data set: hashes, counts, adjacency, accounts; names the first thing that does not hold."""
    from shards.location import parse_location
    from shards.verify import verify_dataset

    proved = verify_dataset(parse_location(out))
    if not quiet:
        typer.echo(str(proved))
