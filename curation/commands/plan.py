"""`pix2gif plan`: finished data set, new thresholds -> counts of what they would keep. Writes nothing."""

import typer

from curation.commands.arguments import Dataset
from curation.commands.selection_options import SelectionOptions
from curation.options import RunOptions
from shards.interface.command_options import with_options


@with_options(SelectionOptions)
def plan(dataset: Dataset, options: SelectionOptions) -> None:
    """Show what other thresholds would keep of a finished data set, without writing anything.

    The flow table has every pair, so counts and histograms are exact, unless splits change: then `pix2gif resplit`,
    which writes the data set with the same options, also removes near-duplicates across the new splits. Options that
    are not given keep their values.

    Example: pix2gif plan shards/ --min-motion 3 --max-motion 15 --pairs-per-gif 20
    """
    from curation.export.dataset import find_sources, read_finished, rebuild_catalog
    from curation.inspection.plan import make_plan
    from curation.inspection.plan_text import format_plan
    from shards.storage.location import parse_location

    finished = read_finished(parse_location(dataset))
    config = finished.config(options.config_fields())
    # A plan reads no GIF, so their folder is not needed.
    sources = {**find_sources(finished, None), "gifs": None}
    run_options = RunOptions(**sources, out=finished.out, splits=options.splits)
    catalog = rebuild_catalog(finished, run_options, config, reads_gifs=False)
    typer.echo(format_plan(make_plan(finished, catalog, config)))
