"""The measuring stage: what is known already is kept, the rest is measured, and the flow table's parts are laid out.

Which clips stand together in a part is decided by the clips alone (`curation.schedule`), so an interrupted run, a run
with another number of workers and an undisturbed one end with the same files.
"""

import collections
import dataclasses
from collections.abc import Iterable

from curation.cluster import Workers
from curation.config import CurationConfig
from curation.flow_table import FlowPart, Measurement, read_all_parts, read_clips, read_parts, write_part
from curation.flow_tasks import JoinTask, PartTask, SliceTask, limits_of, make_part, slice_method
from curation.measure import method_digest
from curation.places import Places
from curation.probe import ProbedClip
from curation.progress import Bar
from curation.quarantine import find_incident
from curation.schedule import Group, costliest_first, group_clips, slice_sources
from shards.location import Location, list_files

Found = dict[str, tuple[Location, Measurement]]
"""By clip key: the part that holds it, and what it tells of it."""
Slices = dict[tuple[str, str], list[FlowPart]]
"""Slices of giants that lie ready, by how they were measured and the clip's key."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowTable:
    """The flow table of a run, whole."""

    parts: tuple[FlowPart, ...]
    """In the order of their names."""
    num_reused: int
    """Clips that were not measured in this run."""
    num_pairs_measured: int
    """Pairs that were."""

    @property
    def measurements(self) -> dict[str, Measurement]:
        """What became of each clip, by its key."""
        return {one.clip_key: one for part in self.parts for one in part.measurements}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowPlan:
    """What a run has to do for its flow table."""

    sound: tuple[FlowPart, ...]
    """Parts that lie where they belong."""
    found: Found
    """What is measured already, of the clips that stand in none of those."""
    groups: tuple[Group, ...]
    """The clips of each part that is missing, the costliest first."""

    @property
    def num_pairs(self) -> int:
        """Pairs to be measured, as far as the files tell."""
        return sum(clip.num_pairs for group in self.groups for clip in group if clip.clip_key not in self.found)

    @property
    def num_reused(self) -> int:
        """Clips that need not be measured."""
        return len(self.found) + sum(len(part.measurements) for part in self.sound)


def plan_flow(
    clips: Iterable[ProbedClip], folders: Iterable[Location], config: CurationConfig, places: Places
) -> FlowPlan:
    """Find in folders of parts what was measured of the same bytes in the same way, and what is left to do."""
    wanted = {clip.clip_key: clip for clip in clips}
    found: Found = {}
    parts: dict[Location, FlowPart] = {}
    for folder in folders:
        for part in read_parts(folder, method_digest(config)):
            parts[part.path] = part
            for one in part.measurements:
                if one.clip_key in wanted and _is_current(one, wanted[one.clip_key], config, places):
                    found.setdefault(one.clip_key, (part.path, one))
    sound, missing = [], []
    for group in group_clips(wanted.values()):
        held_by = {found[clip.clip_key][0] if clip.clip_key in found else None for clip in group}
        path = held_by.pop()
        whole = not held_by and path is not None and path.parent == places.flow
        if whole and path and [one.clip_key for one in parts[path].measurements] == [one.clip_key for one in group]:
            sound.append(parts[path])
            for clip in group:
                del found[clip.clip_key]
        else:
            missing.append(group)
    return FlowPlan(sound=tuple(sound), found=found, groups=tuple(costliest_first(missing)))


def _is_current(one: Measurement, clip: ProbedClip, config: CurationConfig, places: Places) -> bool:
    """Tell whether a measurement is of these bytes, and if the clip was lost, whether it would be again."""
    if one.sha256 != clip.sha256:
        return False
    if one.limits is None:
        return True
    incident = find_incident(places.quarantine, one.clip_key)
    return one.limits == str(limits_of(config)) and incident is not None and incident.sha256 == one.sha256


def make_flow(plan: FlowPlan, config: CurationConfig, places: Places, workers: Workers, bar: Bar) -> FlowTable:
    """Measure what is missing, giants in slices; afterwards the folder holds the parts of this run alone."""
    tasks: list[PartTask | SliceTask] = []
    giants: list[ProbedClip] = []
    ready = _read_slices(places)
    for group in plan.groups:
        found = {clip.clip_key: plan.found[clip.clip_key] for clip in group if clip.clip_key in plan.found}
        if len(slice_sources(group[0])) == 1 or found:
            tasks.append(PartTask(clips=group, found=found, config=config, places=places))
        else:
            giants.append(group[0])
            tasks += [
                SliceTask(clip=group[0], sources=sources, config=config, places=places)
                for sources, part in _find_slices(group[0], ready, config, places).items()
                if part is None
            ]
    announced = {clip.clip_key: clip.num_pairs for group in plan.groups for clip in group}
    parts = list(plan.sound)
    num_pairs_measured = 0
    for part in workers.map(make_part, tasks):
        new = [one for one in part.measurements if one.clip_key not in plan.found]
        num_pairs_measured += sum(one.num_pairs for one in new)
        if part.path.parent == places.flow:
            parts.append(part)
            bar.update(sum(announced[one.clip_key] for one in new))
        else:
            bar.update(sum(one.num_pairs for one in new))
    ready = _read_slices(places) if giants else ready
    joins = [JoinTask(slices=_all_slices(clip, ready, config, places), config=config, places=places) for clip in giants]
    parts += workers.map(make_part, joins)
    kept = {part.path for part in parts}
    for path in list_files(places.flow, "part-*"):
        if path not in kept:
            path.unlink()
    return FlowTable(
        parts=tuple(sorted(parts, key=lambda part: part.path.name)),
        num_reused=plan.num_reused,
        num_pairs_measured=num_pairs_measured,
    )


def _read_slices(places: Places) -> Slices:
    """Read which slices lie ready."""
    ready: Slices = collections.defaultdict(list)
    for method, part in read_all_parts(places.slices):
        (one,) = part.measurements
        ready[method, one.clip_key].append(part)
    return ready


def _find_slices(
    clip: ProbedClip, ready: Slices, config: CurationConfig, places: Places
) -> dict[range, FlowPart | None]:
    """Find the slices of a giant that lie ready, in order."""
    found: dict[range, FlowPart | None] = {}
    for sources in slice_sources(clip):
        parts = ready.get((slice_method(config, sources), clip.clip_key), [])
        found[sources] = next((part for part in parts if _is_current(part.measurements[0], clip, config, places)), None)
    return found


def _all_slices(clip: ProbedClip, ready: Slices, config: CurationConfig, places: Places) -> tuple[FlowPart, ...]:
    found = _find_slices(clip, ready, config, places)
    if missing := [sources for sources, part in found.items() if part is None]:
        raise RuntimeError(f"{clip.clip_key}: slice {missing[0]} was measured and is not there")
    return tuple(part for part in found.values() if part)


def give_up_clips(
    table: FlowTable, lost_clips: dict[str, Measurement], config: CurationConfig, places: Places
) -> FlowTable:
    """Take clips that were lost after measuring out of the table: their rows go, their verdict stays."""
    parts = []
    for part in table.parts:
        if lost_clips.keys().isdisjoint(one.clip_key for one in part.measurements):
            parts.append(part)
            continue
        left = [lost_clips.get(one.clip_key, one) for one in part.measurements]
        rows = read_clips(part.path, [one.clip_key for one in left if one.clip_key not in lost_clips])
        parts.append(write_part(places.flow, method_digest(config), left, [rows]))
        part.path.unlink()
    return dataclasses.replace(table, parts=tuple(sorted(parts, key=lambda part: part.path.name)))
