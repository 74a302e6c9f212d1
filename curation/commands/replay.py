"""`pix2gif replay`: a clip in quarantine -> the same call again, to see what it does."""

from typing import Annotated

import typer

from curation.errors import CurationError


def replay(
    out: Annotated[str, typer.Argument(help="A folder, or a place in a store, of `pix2gif curate --out`.")],
    clip_key: Annotated[str, typer.Argument(help="The clip's key, as clips.parquet and OUT/quarantine/ have it.")],
    clip_timeout: Annotated[
        float | None, typer.Option(help="Seconds that it may take.", show_default="as in the run")
    ] = None,
    clip_memory: Annotated[
        float | None, typer.Option(help="GiB of memory that it may take.", show_default="as in the run")
    ] = None,
    bare: Annotated[
        bool, typer.Option("--bare", help="Do it in this process without limits, under a debugger for example.")
    ] = False,
) -> None:
    """Decode and measure a clip of OUT/quarantine/ again, as the run did, and say what becomes of it.

    Ends with status 1 where the clip crashes or times out as before. Nothing in OUT is changed.

    Example: pix2gif replay shards/ cat-3f1c2a9b0d4e5f60
    """
    from curation.inspection.replay import replay_clip
    from shards.location import parse_location

    outcome = replay_clip(parse_location(out), clip_key, timeout_s=clip_timeout, memory_gib=clip_memory, bare=bare)
    if outcome.error:
        typer.echo(outcome.error, err=True)
    if outcome.failed:
        raise CurationError(f"{clip_key}: {outcome.words}")
    typer.echo(f"{clip_key}: {outcome.words}")
