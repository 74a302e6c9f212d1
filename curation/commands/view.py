"""`pix2gif view`: finished data set -> local web page that shows every sample."""

from pathlib import Path
from typing import Annotated

import typer

from curation.commands.arguments import Dataset


def view(
    out: Dataset,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 picks a free one.", min=0, max=65535)] = 8765,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the default browser.")
    ] = True,
    export: Annotated[
        Path | None,
        typer.Option(help="Write small pictures of every sample to this Parquet file instead, for other viewers."),
    ] = None,
) -> None:
    """Browse a data set: source, target and both in turn, filtered by motion, split and caption.

    The page is reachable from this machine only. Press Ctrl-C to stop.

    --export writes the pictures for other viewers: Spotlight, the Hugging Face hub, notebooks.

    Example: pix2gif view shards/
    """
    import contextlib

    from curation.inspection.previews import SIDE_PX, export_previews
    from curation.inspection.sample_index import load_index
    from curation.inspection.viewer.server import bind, make_app, serve
    from curation.run.progress import Progress
    from shards.interface.loopback import HOST
    from shards.manifest import read_manifest
    from shards.storage.location import parse_location

    dataset = parse_location(out).absolute()
    manifest = read_manifest(dataset)
    if export:
        num_rows = export_previews(dataset, manifest, export, Progress())
        typer.echo(f"{num_rows:,} samples with pictures of {SIDE_PX} pixels in {export}")
        return
    with contextlib.closing(bind(port)) as listener:
        index = load_index(dataset, manifest, Progress())
        address = f"http://{HOST}:{listener.getsockname()[1]}/"
        typer.echo(f"{index.num_rows:,} samples at {address} (press Ctrl-C to stop)")
        if open_browser:
            typer.launch(address)
        serve(make_app(dataset, manifest, index), listener)
