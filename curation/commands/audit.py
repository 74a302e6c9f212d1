"""`pix2gif audit`: finished data set -> remaining duplicates and leakage between splits."""

from typing import Annotated

import typer

from curation.commands.arguments import Dataset

_EXIT_LEAK = 3


def audit(
    out: Dataset,
    near_distance: Annotated[
        int,
        typer.Option(help="Largest distance between near-duplicates, in bits of 64; 0 finds exact duplicates only."),
    ] = 10,
) -> None:
    """Find duplicates, captions shared by splits, and clips whose pairs all have one source frame.

    Decodes no picture. Exits with status 3 if a clip has a duplicate in another split.

    Example: pix2gif audit shards/
    """
    from curation.inspection.audit import audit_dataset
    from curation.inspection.sample_index import load_index
    from curation.run.progress import Progress
    from shards.manifest import read_manifest
    from shards.storage.location import parse_location

    dataset = parse_location(out)
    samples = load_index(dataset, read_manifest(dataset), Progress())
    result = audit_dataset(dataset, samples, near_distance)
    typer.echo(str(result))
    if result.num_leaks:
        raise typer.Exit(_EXIT_LEAK)
