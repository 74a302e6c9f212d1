"""A data set some of whose clips failed for reasons that may pass -> the same one, with these clips tried again."""

import dataclasses

from curation.errors import OutputError
from curation.finish import Summary
from curation.pipeline import curate
from curation.run.progress import Progress
from curation.run.saved_options import recall_run
from curation.run.workspace import Workspace
from shards.location import Location


def retry(out: Location, *, workers: int | None, progress: Progress) -> Summary | None:
    """Run again as before, but try what failed; None where nothing did.

    What was fetched, measured and written is kept where it still holds; every file of OUT is brought up to date.
    Raises OutputError where OUT is no data set of ours, or its listing has changed since.
    """
    workspace = Workspace(out.absolute())
    asked = recall_run(workspace.work)
    if asked is None:
        if workspace.finished() is None:
            raise OutputError(f"{out} holds no run to try again; make it by pix2gif curate")
        return None
    options, config = asked
    # The folder may have been moved since, and what it holds is to be replaced only by what was asked for.
    options = dataclasses.replace(options, out=workspace.out, overwrite=False)
    if workers is not None:
        options = dataclasses.replace(options, workers=workers)
    return curate(options, config, progress, again=True)
