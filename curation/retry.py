"""Try the clips of a data set again that failed to be fetched, timed out or crashed."""

import dataclasses

from curation.errors import OutputError
from curation.export.dataset import read_intact_manifest
from curation.finish import Summary
from curation.pipeline import curate
from curation.run.progress import Progress
from curation.run.saved_options import load_options
from curation.run.workspace import Workspace
from shards.location import Location


def retry(out: Location, *, workers: int | None, progress: Progress) -> Summary | None:
    """Run again with the saved options and try failed clips once more; return None if no clip failed.

    What was fetched, measured and written is kept if it is still valid. Raises OutputError if OUT holds no data set of
    ours, or if its listing has changed since.
    """
    workspace = Workspace(out.absolute())
    saved = load_options(workspace.work)
    if saved is None:
        if read_intact_manifest(workspace) is None:
            raise OutputError(f"{out} holds no run to retry; make the data set with pix2gif curate first")
        return None
    options, config = saved
    # The folder may have been moved since; and nothing but the data set of these options is to be replaced.
    options = dataclasses.replace(options, out=workspace.out, overwrite=False)
    if workers is not None:
        options = dataclasses.replace(options, workers=workers)
    return curate(options, config, progress, retry_lost=True)
