"""What a run prints when Ctrl-C or SIGTERM stops it: the command that resumes it, in the last line."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

import typer

from shards.storage.location import Location

EXIT_INTERRUPTED = 130
PATIENCE_S = 30.0
"""Time for an interrupted run to stop its workers. After it the process ends at once, which costs no finished work."""


@contextlib.contextmanager
def say_how_to_go_on(out: Location, command: str) -> Iterator[None]:
    """If the block is interrupted, print `command`, which resumes the run in `out`, and exit with status 130."""

    def print_command(kept: str) -> None:
        typer.echo(f"\nInterrupted; {kept}. To resume, run the same command again:\n{command}", err=True)

    def end() -> None:
        print_command("finished work is kept")  # Without a look at OUT: its store may be what hangs.
        os._exit(EXIT_INTERRUPTED)

    try:
        with _patience(end):
            yield
    except KeyboardInterrupt:
        print_command("finished work is kept" if out.exists() else "nothing was written yet")
        raise typer.Exit(EXIT_INTERRUPTED) from None


@contextlib.contextmanager
def _patience(end: Callable[[], object]) -> Iterator[None]:
    """Call `end` if the block goes on for PATIENCE_S after SIGINT or SIGTERM: a library may swallow them, or hang."""
    timer = threading.Timer(PATIENCE_S, end)
    timer.daemon = True

    def interrupt(signum: int, frame: object) -> None:
        with contextlib.suppress(RuntimeError):  # A second signal: the timer runs.
            timer.start()
        raise KeyboardInterrupt

    before = {signum: signal.signal(signum, interrupt) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        timer.cancel()
        for signum, handler in before.items():
            signal.signal(signum, handler or signal.SIG_DFL)
