"""The measuring stage: keep what is measured already, measure the rest, write the flow table in parts.

`curation.flow.schedule` groups clips into parts by the clips alone, so the files are the same after an interruption
and with any number of workers.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.config import CurationConfig
from curation.decode.probe import ProbedClip
from curation.decode.probe_results import ProbeResults
from curation.flow.measure import method_digest
from curation.flow.measure_results import MeasureResults
from curation.flow.schedule import Group, group_clips, slice_sources
from curation.flow.table import (
    FlowPart,
    Measurement,
    copy_parts,
    read_all_parts,
    read_clips,
    read_measurements,
    read_parts,
    write_part,
)
from curation.flow.tasks import JoinTask, PartTask, SliceTask, make_part, slice_method
from curation.run.places import Places
from curation.run.progress import Bar
from curation.run.quarantine import find_incident
from curation.run.sandbox import limits_of
from curation.run.workers import Workers
from shards.location import Location, list_files

_NOWHERE = -1


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowTable:
    """The flow table of a run, whole."""

    parts: tuple[Location, ...]
    """In the order of their names."""
    measured: MeasureResults
    num_reused: int
    """Clips that were not measured in this run."""
    num_pairs_measured: int
    """Pairs that were."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowPlan:
    """What a run has to do for its flow table."""

    probed: ProbeResults
    measured: MeasureResults
    """What is measured already."""
    sound: tuple[Location, ...]
    """Parts that lie where they belong."""
    elsewhere: tuple[Path, ...]
    """Parts of just the clips of one that is missing, on a disk: their bytes would be the same."""
    parts: tuple[Location, ...]
    """All parts that hold anything of use."""
    held_by: NDArray[np.int32]
    """Which of `parts` holds what is measured of each clip of the listing; -1: none does, or a whole one. [clips]."""
    groups: tuple[Group, ...]
    """The clips of each part that is missing, the costliest first."""

    @property
    def num_pairs(self) -> int:
        """Pairs to be measured, as far as the files tell."""
        missing = np.concatenate([np.empty(0, np.int64), *self.groups])
        return int(self.probed.sizes(missing[self.held_by[missing] == _NOWHERE]).num_pairs.sum())

    @property
    def num_reused(self) -> int:
        """Clips that need not be measured."""
        return int(self.measured.verdicts.is_known.sum())


def plan_flow(probed: ProbeResults, folders: Iterable[Location], config: CurationConfig, places: Places) -> FlowPlan:
    """Find in folders of parts what was measured of the same bytes in the same way, and what is left to do."""
    clips = probed.clips
    measured = MeasureResults(clips)
    parts: list[Location] = []
    contents: list[NDArray[np.int32]] = []
    held_by = np.full(len(clips), _NOWHERE, dtype=np.int32)
    for folder in folders:
        for part in read_parts(folder, method_digest(config)):
            numbers = clips.find_numbers([one.clip_key for one in part.measurements])
            for number, one in zip(numbers.tolist(), part.measurements, strict=True):
                if number >= 0 and held_by[number] == _NOWHERE and _is_current(one, probed.at(number), config, places):
                    held_by[number] = len(parts)
                    measured.record(one)
            parts.append(part.path)
            contents.append(numbers)
    sound, elsewhere, missing = [], [], []
    for group in group_clips(probed.sizes(probed.usable)):
        place = int(held_by[group[0]])
        whole = parts[place] if place != _NOWHERE and np.array_equal(contents[place], group) else None
        if whole and not bool((held_by[group] == place).all()):
            whole = None
        if whole and whole.parent == places.flow:
            sound.append(whole)
        elif isinstance(whole, Path) and isinstance(places.flow, Path):
            elsewhere.append(whole)
        else:
            missing.append(group)
            continue
        held_by[group] = _NOWHERE
    return FlowPlan(
        probed=probed,
        measured=measured,
        sound=tuple(sound),
        elsewhere=tuple(elsewhere),
        parts=tuple(parts),
        held_by=held_by,
        groups=tuple(missing),
    )


def _is_current(one: Measurement, clip: ProbedClip, config: CurationConfig, places: Places) -> bool:
    """Tell whether a measurement is of these bytes, and if the clip was lost, whether it would be again."""
    if clip.verdict is not None or one.sha256 != clip.sha256:
        return False
    if one.limits is None:
        return True
    incident = find_incident(places.quarantine, one.clip_key)
    return one.limits == str(limits_of(config)) and incident is not None and incident.sha256 == one.sha256


def make_flow(plan: FlowPlan, config: CurationConfig, places: Places, workers: Workers, bar: Bar) -> FlowTable:
    """Measure what is missing, giants in slices; afterwards the folder holds the parts of this run alone."""
    parts = [*plan.sound, *copy_parts(plan.elsewhere, places.flow)]
    num_reused, num_pairs_measured = plan.num_reused, 0
    for part in workers.map(make_part, _list_tasks(plan, config, places)):
        numbers = plan.probed.clips.find_numbers([one.clip_key for one in part.measurements])
        is_new = plan.held_by[numbers] == _NOWHERE
        num_pairs = sum(one.num_pairs for one, new in zip(part.measurements, is_new, strict=True) if new)
        num_pairs_measured += num_pairs
        if part.path.parent == places.flow:
            parts.append(_enter(part, plan.measured))
            bar.update(int(plan.probed.sizes(numbers[is_new]).num_pairs.sum()))
        else:
            bar.update(num_pairs)
    parts += [_enter(part, plan.measured) for part in workers.map(make_part, _list_joins(plan, config, places))]
    kept = set(parts)
    for path in list_files(places.flow, "part-*"):
        if path not in kept:
            path.unlink()
    return FlowTable(
        parts=tuple(sorted(parts, key=lambda path: path.name)),
        measured=plan.measured,
        num_reused=num_reused,
        num_pairs_measured=num_pairs_measured,
    )


def _enter(part: FlowPart, measured: MeasureResults) -> Location:
    for one in part.measurements:
        measured.record(one)
    return part.path


def _list_tasks(plan: FlowPlan, config: CurationConfig, places: Places) -> Iterator[PartTask | SliceTask]:
    slices = _Slices(config, places)
    for group in plan.groups:
        clips = tuple(plan.probed.at(number) for number in group.tolist())
        if not _is_giant(group, clips[0], plan):
            held_by = zip(clips, plan.held_by[group].tolist(), strict=True)
            found = {clip.clip_key: plan.parts[place] for clip, place in held_by if place != _NOWHERE}
            yield PartTask(clips=clips, found=found, config=config, places=places)
            continue
        for sources in slice_sources(clips[0]):
            if slices.find(clips[0], sources) is None:
                yield SliceTask(clip=clips[0], sources=sources, config=config, places=places)


def _list_joins(plan: FlowPlan, config: CurationConfig, places: Places) -> Iterator[JoinTask]:
    """List the giants, whose slices all lie ready."""
    slices = _Slices(config, places)
    for group in plan.groups:
        if len(group) > 1 or not _is_giant(group, clip := plan.probed.at(int(group[0])), plan):
            continue
        found = {sources: slices.find(clip, sources) for sources in slice_sources(clip)}
        if missing := [sources for sources, part in found.items() if part is None]:
            raise RuntimeError(f"{clip.clip_key}: slice {missing[0]} was measured and is not there")
        yield JoinTask(slices=tuple(part for part in found.values() if part), config=config, places=places)


def _is_giant(group: Group, first: ProbedClip, plan: FlowPlan) -> bool:
    """Tell whether a group is one clip that is to be measured in slices."""
    return len(slice_sources(first)) > 1 and bool((plan.held_by[group] == _NOWHERE).all())


class _Slices:
    """The slices of giants that lie ready."""

    def __init__(self, config: CurationConfig, places: Places) -> None:
        self._config = config
        self._places = places
        self._parts = {
            (method, one.clip_key): part for method, part in read_all_parts(places.slices) for one in part.measurements
        }

    def find(self, clip: ProbedClip, sources: range) -> FlowPart | None:
        """Find a slice of a giant, made of the same bytes in the same way."""
        part = self._parts.get((slice_method(self._config, sources), clip.clip_key))
        return part if part and _is_current(part.measurements[0], clip, self._config, self._places) else None


def give_up_clips(
    table: FlowTable, lost_clips: dict[str, Measurement], config: CurationConfig, places: Places
) -> FlowTable:
    """Take clips that were lost after measuring out of the table: their rows go, their verdict stays."""
    parts = []
    for path in table.parts:
        measurements = read_measurements(path)
        if lost_clips.keys().isdisjoint(one.clip_key for one in measurements):
            parts.append(path)
            continue
        left = [lost_clips.get(one.clip_key, one) for one in measurements]
        rows = read_clips(path, [one.clip_key for one in left if one.clip_key not in lost_clips])
        parts.append(_enter(write_part(places.flow, method_digest(config), left, [rows]), table.measured))
        path.unlink()
    return dataclasses.replace(table, parts=tuple(sorted(parts, key=lambda path: path.name)))
