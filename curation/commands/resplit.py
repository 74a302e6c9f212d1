"""`pix2gif resplit`: a finished data set -> another one with other thresholds, of the same measurements."""

import os
from pathlib import Path
from typing import Annotated

import typer

from curation.commands.selection_options import (
    Balance,
    Dataset,
    DropCuts,
    MaxMotion,
    MinMotion,
    MinPairs,
    PairsPerGif,
    SamplesPerShard,
    Seed,
    Splits,
    ValFraction,
    given_fields,
)
from curation.options import FetchOptions, RunOptions


def resplit(
    dataset: Dataset,
    out: Annotated[
        str,
        typer.Option("--out", help="The folder or s3://... that becomes the new data set.", show_default=False),
    ],
    min_motion: MinMotion = None,
    max_motion: MaxMotion = None,
    pairs_per_gif: PairsPerGif = None,
    min_pairs: MinPairs = None,
    balance: Balance = None,
    drop_cuts: DropCuts = None,
    splits: Splits = None,
    val_fraction: ValFraction = None,
    seed: Seed = None,
    samples_per_shard: SamplesPerShard = None,
    gifs: Annotated[
        Path | None,
        typer.Option(help="A folder with the GIFs, found there by file name.", show_default="where they were"),
    ] = None,
    cache: Annotated[
        str | None, typer.Option(help="Where fetched GIFs are kept.", show_default="the data set's own")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Ray workers; 0 works in this process, without Ray.", show_default="one a core")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what --out holds.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Make another data set of a finished one, with other thresholds, cap, balance or splits: nothing is measured.

    The flow table holds the motion of every pair, so that only what is kept is fetched, decoded and encoded. What is
    not named stays as the data set has it. `pix2gif plan` with the same options tells beforehand what comes of it.

    Example: pix2gif resplit shards/ --out shards-3-15 --min-motion 3 --max-motion 15
    """
    given = given_fields(
        min_motion=min_motion,
        max_motion=max_motion,
        pairs_per_gif=pairs_per_gif,
        min_pairs=min_pairs,
        balance=balance,
        drop_cuts=drop_cuts,
        val_fraction=val_fraction,
        seed=seed,
        samples_per_shard=samples_per_shard,
    )
    from curation.export.dataset import find_sources, read_finished
    from curation.resplit import resplit as run
    from curation.run.progress import Progress
    from curation.run.workspace import Workspace
    from shards.location import parse_location

    present = read_finished(parse_location(dataset))
    fetched = Workspace(present.out).fetched
    options = RunOptions(
        **find_sources(present, gifs),
        out=parse_location(out),
        splits=splits,
        flow=present.parts[0].parent if present.parts else None,
        fetch=FetchOptions(cache=cache or (str(fetched) if fetched.is_dir() else None)),
        workers=len(os.sched_getaffinity(0)) if workers is None else workers,
        overwrite=overwrite,
        quiet=quiet,
    )
    summary = run(present, options, present.config(given), Progress(quiet=quiet))
    if not quiet:
        typer.echo(str(summary or f"{parse_location(out)} holds this data set already, finished; nothing to do."))
