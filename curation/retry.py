"""Retry the clips of a data set that failed to be fetched, timed out or crashed."""

import dataclasses
from pathlib import Path

from curation.errors import ConfigError, OutputError
from curation.export.dataset import read_intact_manifest
from curation.finish import Summary
from curation.pipeline import curate
from curation.run.progress import Progress
from curation.run.saved_options import load_options
from curation.run.workspace import Workspace
from shards.interface.credentials import REDACTED
from shards.storage.location import Location


def retry(
    out: Location, *, workers: int | None, progress: Progress, listing: Path | str | None = None
) -> Summary | None:
    """Run again with the saved options and retry failed clips; return None if no clip failed.

    Fetched GIFs, measurements and shards that are still valid are kept. `listing` names the run's listing again, which
    is needed if its URL had credentials. Raises OutputError if OUT holds no run, or if its listing has changed since.
    """
    if workers is not None and workers < 0:
        raise ConfigError(f"workers is {workers}; it must be 0 or more")
    workspace = Workspace(out.absolute())
    saved = load_options(workspace.work)
    if saved is None:
        if read_intact_manifest(workspace) is None:
            raise OutputError(
                f"{out} holds no run to retry, or its data set is damaged; run pix2gif curate, which says what to do"
            )
        if isinstance(workspace.work, Path) and workspace.work.is_dir():
            with workspace.lock(overwrite=False):  # A run may have been killed after it had finished.
                workspace.clean_up()
        return None
    options, config = saved
    if listing is not None:
        options = dataclasses.replace(options, listing=listing)
    elif REDACTED in str(options.listing):
        raise OutputError(
            f"the URL of the listing of {out} had credentials, which are not kept; name it again: pix2gif retry {out} "
            "--listing URL"
        )
    # OUT may have been moved since. Overwriting is off, so that only the data set of these options is replaced.
    options = dataclasses.replace(options, out=workspace.out, overwrite=False)
    if workers is not None:
        options = dataclasses.replace(options, workers=workers)
    return curate(options, config, progress, retry_failed=True)
