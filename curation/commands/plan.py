"""`pix2gif plan`: a finished data set and other thresholds -> what they would keep, and nothing written."""

import os
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
from curation.options import RunOptions


def plan(
    dataset: Dataset,
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
    workers: Annotated[
        int | None, typer.Option(help="Workers that the time is told for.", show_default="one a core")
    ] = None,
) -> None:
    """Tell what other thresholds would keep of a finished data set: in seconds, and without writing anything.

    Counts and histograms are those that a run with the same options makes, as its flow table holds every pair. What is
    not named stays as the data set has it. `pix2gif resplit` with the same options makes it; where splits are other
    ones, it also leaves out near copies that stand in two of them, which are not looked for here.

    Example: pix2gif plan shards/ --min-motion 3 --max-motion 15 --pairs-per-gif 20
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
    from curation.export.dataset import catalog_of, find_sources, read_finished
    from curation.inspection.plan import make_plan
    from curation.inspection.plan_text import format_plan
    from shards.location import parse_location

    present = read_finished(parse_location(dataset))
    config = present.config(given)
    # What the GIFs are is known; where they are is of no matter here.
    options = RunOptions(**{**find_sources(present, None), "gifs": None}, out=present.out, splits=splits)
    num_workers = len(os.sched_getaffinity(0)) if workers is None else workers
    typer.echo(format_plan(make_plan(present, catalog_of(present, options, config), config, num_workers)))
