"""A clip in quarantine -> what becomes of it when the call that it broke is made again."""

import dataclasses
from typing import Any

from curation.config import CurationConfig
from curation.decode.probe import ProbeTask, probe_clips
from curation.errors import CurationError
from curation.export.encode import SourceClip, encode_frames
from curation.flow.measure import measure_clip, warm_up_measuring
from curation.listing.clips import Clip
from curation.run.quarantine import QUARANTINE, Incident, find_incident, list_incidents
from curation.run.sandbox import Failure, isolate, limits_of
from shards.location import Location
from shards.schema import Verdict

_SHOWN_KEYS = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Replayed:
    """What became of the clip this time."""

    words: str
    failed: bool
    error: str = ""
    """What the decoder said last, where it failed."""


def replay_clip(
    out: Location, clip_key: str, *, timeout_s: float | None, memory_gib: float | None, bare: bool
) -> Replayed:
    """Make the call again that lost the clip, in the sandbox or, `bare`, in this process and without limits.

    Raises CurationError where OUT/quarantine/ does not hold the clip.
    """
    folder = out.absolute() / QUARANTINE
    incident = find_incident(folder, clip_key)
    if incident is None:
        raise CurationError(f"{folder} holds no clip {clip_key}; it holds {_list_keys(folder)}")
    config = dataclasses.replace(
        incident.config,
        clip_timeout=timeout_s or incident.config.clip_timeout,
        clip_memory=memory_gib or incident.config.clip_memory,
    )
    function, arguments = _call(incident, folder / f"{clip_key}.gif", config)
    outcome = (
        function(*arguments) if bare else isolate(limits_of(config), function, *arguments, warm_up=warm_up_measuring)
    )
    if isinstance(outcome, Failure):
        return Replayed(words=f"{outcome.verdict}, {outcome.detail}", failed=True, error=outcome.error)
    if incident.frames is not None:
        return Replayed(words=f"{len(outcome)} frames encoded", failed=False)
    measurement, _ = outcome
    if measurement.verdict is not None:
        return Replayed(words=f"{measurement.verdict}, {measurement.detail}", failed=False)
    return Replayed(words=f"{measurement.num_pairs:,} pairs of {measurement.num_frames} frames measured", failed=False)


def _call(incident: Incident, path: Location, config: CurationConfig) -> tuple[Any, tuple[Any, ...]]:
    clip = Clip(key=incident.clip_key, uri=path.name, location=str(path), captions=(), split="", row=1)
    if incident.frames is not None:
        return encode_frames, (incident.frames, SourceClip(clip=clip, path=str(path), sha256=incident.sha256), config)
    (probed,) = probe_clips(ProbeTask(clips=(clip,), config=config))
    if probed.verdict is Verdict.FETCH_FAILED:
        raise CurationError(f"{path} cannot be read: {probed.detail}")
    return measure_clip, (probed, config)


def _list_keys(folder: Location) -> str:
    keys = list_incidents(folder)
    if not keys:
        return "none at all"
    return ", ".join(keys[:_SHOWN_KEYS]) + (f" and {len(keys) - _SHOWN_KEYS} more" if len(keys) > _SHOWN_KEYS else "")
