"""What a run prints when Ctrl-C or SIGTERM stops it: the command that resumes it, in the last line."""

import contextlib
from collections.abc import Iterator

import typer

from shards.storage.location import Location

EXIT_INTERRUPTED = 130


@contextlib.contextmanager
def say_how_to_go_on(out: Location, command: str) -> Iterator[None]:
    """If the block is interrupted, print `command`, which resumes the run in `out`, and exit with status 130."""
    try:
        yield
    except KeyboardInterrupt:
        kept = "finished work is kept" if out.exists() else "nothing was written yet"
        typer.echo(f"\nInterrupted; {kept}. To resume, run the same command again:\n{command}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
