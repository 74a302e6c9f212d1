"""`pix2gif verify`: a finished data set -> proof that it holds, or the first thing that does not."""

from pathlib import Path
from typing import Annotated

import typer


def verify(
    out: Annotated[Path, typer.Argument(help="A folder that `pix2gif curate` finished.")],
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Prove a data set: hashes, counts, adjacency, accounts; names the first thing that does not hold."""
    from shards.verify import verify_dataset

    proved = verify_dataset(out)
    if not quiet:
        typer.echo(str(proved))
