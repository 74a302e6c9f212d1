"""Options of the commands that select anew from a finished data set: what is not named stays as the data set has it."""

from pathlib import Path
from typing import Annotated, Any

import typer

_KEPT = "  [default: as it is]"


def _option(name: str, help_text: str, panel: str = "Selection") -> Any:
    return typer.Option(name, help=help_text + _KEPT, show_default=False, rich_help_panel=panel)


Dataset = Annotated[
    str, typer.Argument(help="A folder that `pix2gif curate` finished, or s3://...", show_default=False)
]
MinMotion = Annotated[float | None, _option("--min-motion", "Least motion of a kept pair, in pixels.")]
MaxMotion = Annotated[float | None, _option("--max-motion", "Greatest motion of a kept pair, in pixels.")]
PairsPerGif = Annotated[int | None, _option("--pairs-per-gif", "Pairs taken of one GIF at most.")]
MinPairs = Annotated[int | None, _option("--min-pairs", "Leave out a GIF with fewer pairs in range.")]
Balance = Annotated[
    str | None, _option("--balance", "Motion histogram: flat, none, or a JSON file with bin_edges and counts.")
]
DropCuts = Annotated[bool | None, _option("--drop-cuts/--keep-cuts", "Whether to keep no pair across a scene cut.")]
Splits = Annotated[Path | None, _option("--splits", "A folder with official lists train.txt, val.txt, test.txt.")]
ValFraction = Annotated[
    float | None, _option("--val-fraction", "Share of the clips for val, where no lists made the splits.")
]
Seed = Annotated[int | None, _option("--seed", "Seed of every choice.")]
SamplesPerShard = Annotated[int | None, _option("--samples-per-shard", "Samples in one shard at most.", "Output")]


def given_fields(**named: Any) -> dict[str, Any]:
    """Keep of these fields of the config those that were given, the balance read from its file."""
    from curation.target_histogram import read_balance

    given = {name: value for name, value in named.items() if value is not None}
    if "balance" in given:
        given["balance"] = read_balance(given["balance"])
    return given
