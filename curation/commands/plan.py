"""`pix2gif plan`: finished data set, new thresholds -> counts of what they would keep. Writes nothing."""

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
) -> None:
    """Show what other thresholds would keep of a finished data set, without writing anything.

    The flow table has every pair, so counts and histograms are exact. Options that are not given keep their values.
    `pix2gif resplit` with the same options writes the data set. If splits change, it also removes near-duplicates
    across the new splits, which this command does not count.

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
    # A plan reads no GIF, so their folder is not needed.
    options = RunOptions(**{**find_sources(present, None), "gifs": None}, out=present.out, splits=splits)
    typer.echo(format_plan(make_plan(present, catalog_of(present, options, config), config)))
