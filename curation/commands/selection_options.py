"""Options of `pix2gif plan` and `pix2gif resplit`, which select pairs from a finished data set."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from curation.target_histogram import read_balance


def _option(help_text: str, *names: str, panel: str = "Selection") -> Any:
    return typer.Option(*names, help=f"{help_text}  [default: unchanged]", show_default=False, rich_help_panel=panel)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectionOptions:
    """What to change. None: not given, so it stays as it is in the data set."""

    min_motion: Annotated[float | None, _option("Lowest motion to keep, in pixels.")] = None
    max_motion: Annotated[float | None, _option("Highest motion to keep, in pixels.")] = None
    pairs_per_gif: Annotated[int | None, _option("Keep up to this many pairs per GIF.")] = None
    min_pairs: Annotated[int | None, _option("Leave out GIFs with fewer pairs in range.")] = None
    balance: Annotated[
        str | None, _option("Motion histogram: flat, none (sample at random), or a JSON file with a target.")
    ] = None
    drop_cuts: Annotated[
        bool | None, _option("Whether to drop pairs with a scene cut between their frames.", "--drop-cuts/--keep-cuts")
    ] = None
    splits: Annotated[
        Path | None, _option("A folder with official lists train.txt, val.txt, test.txt: one URL or path per line.")
    ] = None
    val_fraction: Annotated[float | None, _option("Fraction of the clips for val; not used with official lists.")] = (
        None
    )
    seed: Annotated[int | None, _option("Seed of every random choice.")] = None
    samples_per_shard: Annotated[int | None, _option("Write up to this many samples per shard.", panel="Output")] = None

    def config_fields(self) -> dict[str, Any]:
        """Return the given fields of CurationConfig, by name. Raises ConfigError for an unreadable target file."""
        given = {name: value for name, value in vars(self).items() if name != "splits" and value is not None}
        return {**given, "balance": read_balance(given["balance"])} if "balance" in given else given
