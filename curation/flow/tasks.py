"""Tasks of the measuring stage: measure a part, measure a slice of a long clip, join the slices of a long clip.

Decoding and measuring run in the sandbox (`curation.run.sandbox`). A clip that breaks the limits, or its decoder, gets
a verdict and goes to quarantine; the others are unaffected.
"""

import dataclasses

import pyarrow as pa

from curation.config import CurationConfig
from curation.decode.formats.animation import name_decoder
from curation.decode.probe import ProbedClip
from curation.fetch.read import read_clip
from curation.flow.measure import measure_clip, method_digest, warm_up_measuring
from curation.flow.table import (
    FlowPart,
    Measurement,
    copy_part,
    read_clips,
    read_measurements,
    read_part,
    read_rows,
    write_part,
)
from curation.run.quarantine import Incident, find_incident, quarantine
from curation.run.sandbox import Failure, Limits, isolate
from curation.run.workspace import TaskFolders
from shards.schema import Verdict
from shards.storage.location import Location

LOST = (Verdict.CRASHED, Verdict.TIMED_OUT)
"""Verdicts of clips that failed in the sandbox."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartTask:
    """Make the flow part of a group of clips."""

    clips: tuple[ProbedClip, ...]
    reused: dict[str, Location]
    """By clip key: the flow part that holds its results already; they are copied."""
    config: CurationConfig
    folders: TaskFolders


@dataclasses.dataclass(frozen=True, kw_only=True)
class SliceTask:
    """Measure the pairs of some source frames of a long clip."""

    clip: ProbedClip
    sources: range
    config: CurationConfig
    folders: TaskFolders


@dataclasses.dataclass(frozen=True, kw_only=True)
class JoinTask:
    """Join the measured slices of a long clip, in order, to one flow part."""

    slices: tuple[FlowPart, ...]
    config: CurationConfig
    folders: TaskFolders


def slice_method(config: CurationConfig, sources: range) -> str:
    """Return the method of a slice: the method digest and the range of source frames."""
    return f"{method_digest(config)} {sources.start}-{sources.stop}"


def make_part(task: PartTask | SliceTask | JoinTask) -> FlowPart:
    """Run a task; return the flow part, or the slice, that it wrote."""
    if isinstance(task, PartTask):
        return _measure_part(task)
    if isinstance(task, SliceTask):
        return _measure_slice(task)
    return _join_slices(task)


def _measure_part(task: PartTask) -> FlowPart:
    if copied := _copy_whole(task):
        return copied
    measured: dict[str, tuple[Measurement, pa.Table | None]] = {}
    for path in set(task.reused.values()):
        results = {
            result.clip_key: result for result in read_measurements(path) if task.reused.get(result.clip_key) == path
        }
        rows = read_clips(path, results)
        for key, result in results.items():
            measured[key] = (result, rows.filter(pa.compute.equal(rows["clip_key"].cast(pa.string()), key)))
    for clip in task.clips:
        if clip.clip_key not in measured:
            measured[clip.clip_key] = _measure_isolated(clip, task.config, task.folders, None)
    in_order = [measured[clip.clip_key] for clip in task.clips]
    return write_part(
        task.folders.flow,
        method_digest(task.config),
        [result for result, _ in in_order],
        [_encode_key(result.clip_key, rows) for result, rows in in_order if rows is not None],
    )


def _copy_whole(task: PartTask) -> FlowPart | None:
    """Copy an existing part if it holds exactly these clips in this order: the bytes are the same."""
    paths = set(task.reused.values())
    if len(paths) != 1 or len(task.reused) != len(task.clips):
        return None
    part = read_part(paths.pop(), method_digest(task.config))
    if part is None or part.is_narrow:
        return None
    if [result.clip_key for result in part.measurements] != [clip.clip_key for clip in task.clips]:
        return None
    return copy_part(part, task.folders.flow)


def _measure_slice(task: SliceTask) -> FlowPart:
    # If another slice of this clip crashed or timed out, this one would too.
    incident = find_incident(task.folders.quarantine, task.clip.clip_key)
    if incident and incident.sha256 == task.clip.sha256:
        result, rows = lost_clip(task.clip, incident.failure, task.config), None
    else:
        result, rows = _measure_isolated(task.clip, task.config, task.folders, task.sources)
    method = slice_method(task.config, task.sources)
    return write_part(task.folders.slices, method, [result], [] if rows is None else [rows])


def _join_slices(task: JoinTask) -> FlowPart:
    measured = [part.measurements[0] for part in task.slices]
    method = method_digest(task.config)
    failed = next((result for result in measured if result.verdict in LOST), measured[0])
    if failed.verdict is not None:
        return write_part(task.folders.flow, method, [dataclasses.replace(failed, num_pairs=0)], [])
    whole = dataclasses.replace(measured[0], num_pairs=sum(result.num_pairs for result in measured))
    rows = pa.concat_tables([read_rows(part.path) for part in task.slices])
    return write_part(task.folders.flow, method, [whole], [_encode_key(whole.clip_key, rows)])


def _measure_isolated(
    clip: ProbedClip, config: CurationConfig, folders: TaskFolders, sources: range | None
) -> tuple[Measurement, pa.Table | None]:
    outcome = isolate(Limits.from_config(config), measure_clip, clip, config, sources, warm_up=warm_up_measuring)
    if not isinstance(outcome, Failure):
        return outcome
    incident = Incident(clip_key=clip.clip_key, sha256=clip.sha256 or "", failure=outcome, config=config)
    quarantine(folders.quarantine, incident, read_clip(clip.path, clip.sha256, config.max_bytes))
    return lost_clip(clip, outcome, config), None


def lost_clip(clip: ProbedClip, failure: Failure, config: CurationConfig) -> Measurement:
    """Return the result of a clip that crashed or timed out."""
    return Measurement(
        clip_key=clip.clip_key,
        sha256=clip.sha256 or "",
        verdict=failure.verdict,
        detail=failure.detail,
        width=clip.width or 0,
        height=clip.height or 0,
        num_frames=clip.num_frames or 0,
        num_pairs=0,
        limits=str(Limits.from_config(config)),
        decoder=name_decoder(clip.format, config),
    )


def _encode_key(clip_key: str, rows: pa.Table) -> pa.Table:
    """Encode the clip key of one clip's rows again, so that copied rows and measured rows have the same bytes."""
    keys = pa.DictionaryArray.from_arrays(pa.array([0] * rows.num_rows, pa.int32()), [clip_key])
    return rows.set_column(0, rows.schema.field("clip_key"), keys)
