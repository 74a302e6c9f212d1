"""`pix2gif replay`: quarantined clip -> result of decoding and measuring it again."""

from typing import Annotated

import typer

from curation.commands.arguments import RunOut
from curation.errors import CurationError


def replay(
    out: RunOut,
    clip_key: Annotated[str, typer.Argument(help="Key of the clip, as in clips.parquet and OUT/quarantine/.")],
    clip_timeout: Annotated[
        float | None, typer.Option(help="Time limit in seconds.", show_default="as in the run")
    ] = None,
    clip_memory: Annotated[
        float | None, typer.Option(help="Memory limit in GiB.", show_default="as in the run")
    ] = None,
    bare: Annotated[
        bool, typer.Option("--bare", help="Run in this process without a sandbox, for example under a debugger.")
    ] = False,
) -> None:
    """Decode and measure a clip of OUT/quarantine/ again, and print the result.

    Exits with status 1 if the clip crashes or times out again. Changes nothing in OUT.

    Example: pix2gif replay shards/ cat-3f1c2a9b0d4e5f60
    """
    from curation.inspection.replay import replay_clip
    from shards.storage.location import parse_location

    result = replay_clip(parse_location(out), clip_key, timeout_s=clip_timeout, memory_gib=clip_memory, bare=bare)
    if result.error:
        typer.echo(result.error, err=True)
    if result.failed:
        raise CurationError(f"{clip_key}: {result.message}")
    typer.echo(f"{clip_key}: {result.message}")
