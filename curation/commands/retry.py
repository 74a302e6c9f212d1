"""`pix2gif retry`: what failed to be fetched, timed out or crashed -> another try, and a data set with what it gave."""

from typing import Annotated

import typer

from curation.commands.arguments import RunOut
from curation.commands.interruption import say_how_to_go_on


def retry(
    out: RunOut,
    workers: Annotated[
        int | None, typer.Option(help="Ray workers; 0 works in this process.", show_default="as in the run")
    ] = None,
    listing: Annotated[
        str | None,
        typer.Option(
            help="The listing of the run, if its URL has credentials: they are not kept.", show_default="as in the run"
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Try again what failed to be fetched, timed out or crashed, and bring every file of OUT up to date.

    Everything else is kept and not done again. The listing, the options and the cache are those of the run.

    Example: pix2gif retry shards/
    """
    from curation.retry import retry as run
    from curation.run.progress import Progress
    from curation.run.status import command_line
    from shards.storage.location import parse_location

    place = parse_location(out)
    progress = Progress(quiet=quiet, command=command_line())
    with say_how_to_go_on(place, progress.command):
        summary = run(place, workers=workers, progress=progress, listing=listing)
    if quiet:
        return
    typer.echo(f"{place}: nothing failed that could be tried again." if summary is None else str(summary))
