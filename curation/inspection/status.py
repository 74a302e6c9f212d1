"""A folder or place in a store -> how far its run has come, whether it still runs, how to go on."""

import shlex
from datetime import UTC, datetime
from pathlib import Path

from curation.errors import OutputError
from curation.inspection.web.number_format import format_duration
from curation.run.locks.store_lock import has_ended
from curation.run.saved_options import RETRIED
from curation.run.status import Status, read_status
from curation.run.workspace import Workspace
from shards.manifest import Manifest, read_manifest
from shards.schema import MANIFEST, REPORT
from shards.storage.location import Location


def describe_run(out: Location) -> str:
    """Describe the run that writes to `out`, or the data set that it has finished.

    Raises OutputError if there is neither, and DatasetError if the manifest is damaged.
    """
    status = read_status(Workspace(out).work)
    if status is None:
        if not (out / MANIFEST).exists():
            raise OutputError(f"{out} holds no data set, and no run that this version of pix2gif has begun")
        return _describe_finished(out, read_manifest(out))
    return "\n".join(_describe_unfinished(out, status))


def _describe_finished(out: Location, manifest: Manifest) -> str:
    lines = [f"{out}: finished, {manifest.listing.num_rows:,} rows"]
    lines += [f"  {name:17}{count:>10,}" for name, count in manifest.verdicts.items() if count]
    lines += [f"  {split:17}{entry.num_samples:>10,} samples" for split, entry in manifest.splits.items()]
    if num_retried := sum(manifest.verdicts.get(verdict, 0) for verdict in RETRIED):
        lines.append(f"{num_retried:,} rows can be retried: pix2gif retry {out}")
    return "\n".join([*lines, f"Look at {out / REPORT}."])


def _describe_unfinished(out: Location, status: Status) -> list[str]:
    is_ended = has_ended(status.process)
    age_s = (datetime.now(UTC) - datetime.fromisoformat(status.updated)).total_seconds()
    process = f"process {status.process['pid']} on {status.process['host']}"
    since = f"begun {status.started}, workers: {status.workers}"
    state = {
        True: f"stopped before it had finished; {process} has ended",
        False: f"running: {process}",
        None: f"{process} last wrote {format_duration(age_s)} ago; whether it still runs cannot be seen from here",
    }[is_ended]
    lines = [f"{out}: {state}; {since}"]
    ended = {name: seconds for name, seconds in status.stages.items() if name != status.stage}
    lines += [f"  {name:17}{format_duration(seconds):>10}" for name, seconds in ended.items()]
    lines.append(f"  {status.stage:17}{_describe_stage(status, age_s if is_ended is False else 0)}")
    if status.verdicts:
        lines.append("Clips left out so far:")
        lines += [f"  {name:17}{count:>10,}" for name, count in sorted(status.verdicts.items())]
    if is_ended is not False:
        lines.append(f"To resume: {_resume_line(status)}" if status.command else "To resume, make the same call again.")
    return lines


def _describe_stage(status: Status, age_s: float) -> str:
    seconds = status.stage_seconds + age_s
    if not status.total:
        return f"{format_duration(seconds):>10}"
    rate = status.num_done / status.stage_seconds if status.stage_seconds else 0.0
    text = f"{status.num_done:,} of {status.total:,} {status.unit} ({status.num_done / status.total:.0%})"
    if rate:
        text += f", {rate:,.3g} {status.unit}/s, {format_duration((status.total - status.num_done) / rate)} left"
    return text


def _resume_line(status: Status) -> str:
    """Return the command that resumes the run, for the working folder that this process is in."""
    is_here = Path(status.folder) == Path.cwd()
    return status.command if is_here else f"cd {shlex.quote(status.folder)} && {status.command}"
