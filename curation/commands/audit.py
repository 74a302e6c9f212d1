"""`pix2gif audit`: a finished data set -> what stands twice in it, and whether a split leaks into another."""

from typing import Annotated

import typer

_EXIT_LEAK = 3


def audit(
    out: Annotated[str, typer.Argument(help="A folder that `pix2gif curate` finished, or s3://...")],
    near_distance: Annotated[
        int, typer.Option(help="Bits of 64 by which the frames of near copies differ at most; 0: exact ones only.")
    ] = 10,
) -> None:
    """Find copies within and across splits, captions that splits share, and clips whose pairs show one instant.

    Decodes nothing. Ends with status 3 where a clip of one split is, exactly or nearly, one of another.

    Example: pix2gif audit shards/
    """
    from curation.inspection.audit import audit_dataset
    from curation.inspection.sample_index import load_index
    from curation.run.progress import Progress
    from shards.location import parse_location
    from shards.manifest import read_manifest

    place = parse_location(out)
    manifest = read_manifest(place)
    with Progress().stage("index", sum(entry.num_samples for entry in manifest.splits.values()), "samples") as bar:
        samples = load_index(place.absolute(), manifest, bar.update)
    found = audit_dataset(place, samples, near_distance)
    typer.echo(str(found))
    if found.num_leaks:
        raise typer.Exit(_EXIT_LEAK)
