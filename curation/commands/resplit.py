"""`pix2gif resplit`: a finished data set -> a new one with other thresholds, from the same measurements."""

import os
from typing import Annotated

import typer

from curation.commands.arguments import Dataset
from curation.commands.interruption import say_how_to_go_on
from curation.commands.selection_options import SelectionOptions
from curation.options import FetchOptions, RunOptions
from shards.interface.command_options import with_options


@with_options(SelectionOptions)
def resplit(
    dataset: Dataset,
    options: SelectionOptions,
    out: Annotated[
        str, typer.Option("--out", help="The new data set: a folder, or s3://bucket/prefix.", show_default=False)
    ],
    gifs: Annotated[
        str | None,
        typer.Option(help="The GIFs: a folder, a zip, a tar, or a quoted pattern.", show_default="where they were"),
    ] = None,
    gifs_by: Annotated[
        str | None,
        typer.Option(
            help="How a GIF is found in --gifs: name, path, url-sha256 or column:NAME.", show_default="as in the run"
        ),
    ] = None,
    cache: Annotated[
        str | None,
        typer.Option(help="Keep downloads here: a folder, or a prefix.", show_default="the data set's own"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Ray workers; 0: work in this process, without Ray.", show_default="one per core")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the data set in --out.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
) -> None:
    """Make a new data set from a finished one, with other thresholds, cap, balance or splits. Measures nothing.

    The flow table has the motion of every pair, so only the GIFs of kept pairs are fetched, decoded and encoded.
    Options that are not given keep their values. `pix2gif plan` with the same options shows the result in advance.

    Example: pix2gif resplit shards/ --out shards-3-15 --min-motion 3 --max-motion 15
    """
    from curation.export.dataset import find_sources, read_finished
    from curation.resplit import resplit as run
    from curation.run.progress import Progress
    from curation.run.status import command_line
    from curation.run.workspace import Workspace
    from shards.storage.location import parse_location

    present = read_finished(parse_location(dataset))
    fetched = Workspace(present.out).fetched
    fields = options.config_fields() | ({} if gifs_by is None else {"gifs_by": gifs_by})
    run_options = RunOptions(
        **find_sources(present, gifs),
        out=parse_location(out),
        splits=options.splits,
        flow=present.parts[0].parent if present.parts else None,
        fetch=FetchOptions(cache=cache or (str(fetched) if fetched.is_dir() else None)),
        workers=len(os.sched_getaffinity(0)) if workers is None else workers,
        overwrite=overwrite,
        quiet=quiet,
    )
    config = present.config(fields)
    progress = Progress(quiet=quiet, command=command_line())
    with say_how_to_go_on(run_options.out, progress.command):
        summary = run(present, run_options, config, progress)
    if not quiet:
        typer.echo(str(summary or f"{parse_location(out)} holds this data set already, finished; nothing to do."))
