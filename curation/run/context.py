"""What every stage of a run shares, in one object."""

import contextlib
import dataclasses
from collections.abc import Iterator

from curation.config import CurationConfig
from curation.options import RunOptions
from curation.run.progress import Progress
from curation.run.status import StatusFile
from curation.run.workers import Workers, open_workers
from curation.run.workspace import Workspace


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One run: what to make, where, with which workers."""

    options: RunOptions
    """Where things are and how the run is run."""
    config: CurationConfig
    """What changes a byte of the data set."""
    workspace: Workspace
    """The folders of OUT, locked for this run."""
    progress: Progress
    workers: Workers
    """Start when first used."""


@contextlib.contextmanager
def open_run(options: RunOptions, config: CurationConfig, progress: Progress) -> Iterator[Run]:
    """Lock OUT for a run and open its workers; both end with the block.

    Raises OutputError if OUT is not ours to write, another run has it, or it cannot be written.
    """
    workspace = Workspace(options.out)
    with (
        workspace.lock(overwrite=options.overwrite),
        open_workers(options.workers, address=options.ray_address) as workers,
    ):
        processes = f"the Ray cluster at {options.ray_address}" if options.ray_address else str(options.workers)
        progress.write_to(StatusFile(workspace.work, processes, progress.command))
        yield Run(options=options, config=config, workspace=workspace, progress=progress, workers=workers)
