"""Quarantined clip -> result of repeating the call that crashed or timed out."""

import dataclasses
from typing import Any

from curation.config import CurationConfig
from curation.decode.probe import ProbeTask, probe_clips
from curation.errors import CurationError
from curation.export.encode import SourceClip, encode_frames
from curation.flow.measure import measure_clip, warm_up_measuring
from curation.listing.clips import Clip
from curation.run.quarantine import QUARANTINE, Incident, find_incident, list_incidents
from curation.run.sandbox import Failure, Limits, isolate
from shards.schema import Verdict
from shards.storage.location import Location

_MAX_KEYS = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReplayResult:
    """Result of one replay."""

    message: str
    failed: bool
    error: str = ""
    """Standard error of the sandbox, if the call failed."""


def replay_clip(
    out: Location, clip_key: str, *, timeout_s: float | None, memory_gib: float | None, bare: bool
) -> ReplayResult:
    """Repeat the failed call in the sandbox or, if `bare`, in this process without limits.

    A limit of None is that of the run. Raises CurationError if OUT/quarantine/ has no such clip.
    """
    folder = out.absolute() / QUARANTINE
    incident = find_incident(folder, clip_key)
    if incident is None:
        raise CurationError(f"no clip {clip_key} in {folder}; available: {_list_keys(folder)}")
    config = dataclasses.replace(
        incident.config,
        clip_timeout=timeout_s or incident.config.clip_timeout,
        clip_memory=memory_gib or incident.config.clip_memory,
    )
    function, arguments = _prepare_call(incident, folder / f"{clip_key}.gif", config)
    if bare:
        outcome = function(*arguments)
    else:
        outcome = isolate(Limits.from_config(config), function, *arguments, warm_up=warm_up_measuring)
    if isinstance(outcome, Failure):
        return ReplayResult(message=f"{outcome.verdict}, {outcome.detail}", failed=True, error=outcome.error)
    if incident.frames is not None:
        return ReplayResult(message=f"{len(outcome)} frames encoded", failed=False)
    measurement, _ = outcome
    if measurement.verdict is not None:
        return ReplayResult(message=f"{measurement.verdict}, {measurement.detail}", failed=False)
    return ReplayResult(
        message=f"{measurement.num_pairs:,} pairs of {measurement.num_frames} frames measured", failed=False
    )


def _prepare_call(incident: Incident, path: Location, config: CurationConfig) -> tuple[Any, tuple[Any, ...]]:
    """Return the function that failed and its arguments: encoding if frames were selected, else measuring."""
    clip = Clip(key=incident.clip_key, uri=path.name, location=str(path), captions=(), split="", row=1)
    if incident.frames is not None:
        return encode_frames, (incident.frames, SourceClip(clip=clip, path=str(path), sha256=incident.sha256), config)
    (probed,) = probe_clips(ProbeTask(clips=(clip,), config=config))
    if probed.verdict is Verdict.FETCH_FAILED:
        raise CurationError(f"cannot read {path}: {probed.detail}")
    return measure_clip, (probed, config)


def _list_keys(folder: Location) -> str:
    keys = list_incidents(folder)
    if not keys:
        return "none"
    return ", ".join(keys[:_MAX_KEYS]) + (f" and {len(keys) - _MAX_KEYS} more" if len(keys) > _MAX_KEYS else "")
