"""Arguments that several commands share."""

from typing import Annotated

import typer

Dataset = Annotated[
    str,
    typer.Argument(metavar="DATASET", help="A finished data set: a folder, or s3://bucket/prefix.", show_default=False),
]
RunOut = Annotated[str, typer.Argument(metavar="OUT", help="The --out of a run: a folder, or s3://bucket/prefix.")]
