"""`pix2gif view`: a finished data set -> a browser of all its samples, on this machine."""

from typing import Annotated

import typer


def view(
    out: Annotated[str, typer.Argument(help="A folder that `pix2gif curate` finished, or s3://...")],
    port: Annotated[int, typer.Option(help="On 127.0.0.1; 0 takes any that is free.", min=0, max=65535)] = 8765,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the system's browser.")
    ] = True,
) -> None:
    """Look at a data set: every pair as source, target and a blink of the two, by motion, split and caption.

    Only this machine can reach the page. Ctrl-C ends it.

    Example: pix2gif view shards/
    """
    import contextlib

    from curation.inspection.sample_index import load_index
    from curation.inspection.viewer.server import HOST, bind, make_app, serve
    from curation.run.progress import Progress
    from shards.location import parse_location
    from shards.manifest import read_manifest

    place = parse_location(out)
    manifest = read_manifest(place)
    with contextlib.closing(bind(port)) as listener:
        total = sum(entry.num_samples for entry in manifest.splits.values())
        with Progress().stage("index", total, "samples") as bar:
            index = load_index(place.absolute(), manifest, bar.update)
        address = f"http://{HOST}:{listener.getsockname()[1]}/"
        typer.echo(f"{total:,} samples at {address} (Ctrl-C ends it)")
        if open_browser:
            typer.launch(address)
        serve(make_app(place.absolute(), manifest, index), listener)
