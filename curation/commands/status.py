"""`pix2gif status`: how far a run has come."""

import typer

from curation.commands.arguments import RunOut


def status(
    out: RunOut,
) -> None:
    """Print the progress of a run: stage, rate, time left, failures so far; while it runs, and after a crash.

    For a stopped run, the last line is the command to resume it. For a finished one, the rows by verdict are printed.

    Example: pix2gif status shards/
    """
    from curation.inspection.status import describe_run
    from shards.storage.location import parse_location

    typer.echo(describe_run(parse_location(out).absolute()))
