"""The measuring stage: keep what is measured already, measure the rest, write the flow table in parts.

`curation.flow.schedule` groups clips into parts by the clips alone, so the files are the same after an interruption
and with any number of workers.
"""

import dataclasses
from collections.abc import Iterator

from curation.config import CurationConfig
from curation.decode.probe import ProbedClip
from curation.decode.probe_results import ProbeResults
from curation.flow.measure import method_digest, warm_up_measuring
from curation.flow.measure_results import MeasureResults
from curation.flow.plan import NO_PART, FlowPlan, is_current, plan_flow
from curation.flow.schedule import Group, slice_sources
from curation.flow.table import (
    FlowPart,
    Measurement,
    copy_parts,
    read_clips,
    read_measurements,
    read_parts,
    write_part,
)
from curation.flow.tasks import JoinTask, PartTask, SliceTask, make_part, slice_method
from curation.run.compile_stage import compile_for_workers
from curation.run.context import Run
from curation.run.workspace import PART_NAME, TaskFolders
from shards.schema import Verdict
from shards.storage.location import Location, list_files


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowTable:
    """The complete flow table of a run."""

    parts: tuple[Location, ...]
    """Sorted by name."""
    measured: MeasureResults
    num_reused: int
    """Clips that were measured before this run."""
    num_outdated: int
    """Clips that were measured before by another method, and again by this run."""
    num_pairs_measured: int
    """Pairs that this run measured."""


def measure_all(run: Run, probed: ProbeResults) -> FlowTable:
    """Measure every usable clip that no flow part holds yet, long clips in slices.

    Afterwards the flow folder holds exactly the parts of this run.
    """
    folders = run.workspace.task_folders
    sources = [folders.flow, *([run.options.flow] if run.options.flow else [])]
    plan = plan_flow(probed, sources, run.config, folders)
    num_reused, num_pairs, num_pairs_measured = plan.num_reused, plan.num_pairs, 0
    before = plan.measured.verdicts
    run.progress.count_verdicts(before[number] for number in before.find(*Verdict).tolist())
    if num_pairs:
        compile_for_workers(run, warm_up_measuring, "the decoder and the motion kernel")
    with run.progress.stage("measure", num_pairs, "pairs") as bar:
        parts = [*plan.in_place, *copy_parts(plan.to_copy, folders.flow)]
        for part in run.workers.map(make_part, _list_tasks(plan, run.config, folders)):
            numbers = probed.clips.find_numbers([result.clip_key for result in part.measurements])
            is_new = plan.part_of[numbers] == NO_PART
            num_pairs = sum(result.num_pairs for result, new in zip(part.measurements, is_new, strict=True) if new)
            num_pairs_measured += num_pairs
            if part.path.parent == folders.flow:
                run.progress.count_verdicts(result.verdict for result in part.measurements)
                parts.append(_record(part, plan.measured))
                # Pairs as announced, as in the total: a damaged clip has fewer.
                bar.update(int(probed.sizes(numbers[is_new]).num_pairs.sum()))
            else:
                bar.update(num_pairs)
        joined = run.workers.map(make_part, _list_joins(plan, run.config, folders))
        parts += [_record(part, plan.measured) for part in joined]
    _remove_other_parts(folders.flow, set(parts))
    return FlowTable(
        parts=_sort_by_name(parts),
        measured=plan.measured,
        num_reused=num_reused,
        num_outdated=plan.num_outdated,
        num_pairs_measured=num_pairs_measured,
    )


def drop_lost_clips(table: FlowTable, lost: dict[str, Measurement], run: Run) -> FlowTable:
    """Rewrite the parts of clips that were lost after measuring: their rows go, their verdict stays.

    `lost` holds what replaces their results, by clip key.
    """
    parts = []
    for path in table.parts:
        results = read_measurements(path)
        if lost.keys().isdisjoint(result.clip_key for result in results):
            parts.append(path)
            continue
        results = tuple(lost.get(result.clip_key, result) for result in results)
        rows = read_clips(path, [result.clip_key for result in results if result.clip_key not in lost])
        part = write_part(run.workspace.flow, method_digest(run.config), results, [rows])
        parts.append(_record(part, table.measured))
        path.unlink()
    return dataclasses.replace(table, parts=_sort_by_name(parts))


def _record(part: FlowPart, measured: MeasureResults) -> Location:
    for result in part.measurements:
        measured.record(result)
    return part.path


def _remove_other_parts(folder: Location, kept: set[Location]) -> None:
    for path in list_files(folder, "part-*"):
        if path not in kept and PART_NAME.fullmatch(path.name):
            path.unlink()


def _sort_by_name(parts: list[Location]) -> tuple[Location, ...]:
    return tuple(sorted(parts, key=lambda path: path.name))


def _list_tasks(plan: FlowPlan, config: CurationConfig, folders: TaskFolders) -> Iterator[PartTask | SliceTask]:
    slices = _FinishedSlices(config, folders)
    for group in plan.groups:
        clips = tuple(plan.probed.at(number) for number in group.tolist())
        if not _is_sliced(group, clips[0], plan):
            part_of = zip(clips, plan.part_of[group].tolist(), strict=True)
            reused = {clip.clip_key: plan.parts[number] for clip, number in part_of if number != NO_PART}
            yield PartTask(clips=clips, reused=reused, config=config, folders=folders)
            continue
        for sources in slice_sources(clips[0]):
            if slices.find(clips[0], sources) is None:
                yield SliceTask(clip=clips[0], sources=sources, config=config, folders=folders)


def _list_joins(plan: FlowPlan, config: CurationConfig, folders: TaskFolders) -> Iterator[JoinTask]:
    """List the long clips; all their slices are measured by now."""
    slices = _FinishedSlices(config, folders)
    for group in plan.groups:
        if len(group) > 1 or not _is_sliced(group, clip := plan.probed.at(int(group[0])), plan):
            continue
        parts = {sources: slices.find(clip, sources) for sources in slice_sources(clip)}
        if missing := [sources for sources, part in parts.items() if part is None]:
            raise RuntimeError(f"{clip.clip_key}: slice {missing[0]} was measured but its file is gone")
        yield JoinTask(slices=tuple(part for part in parts.values() if part), config=config, folders=folders)


def _is_sliced(group: Group, first: ProbedClip, plan: FlowPlan) -> bool:
    """Return whether a group is one long clip to be measured in slices."""
    return len(slice_sources(first)) > 1 and bool((plan.part_of[group] == NO_PART).all())


class _FinishedSlices:
    """Slices of long clips that are measured already."""

    def __init__(self, config: CurationConfig, folders: TaskFolders) -> None:
        self._config = config
        self._folders = folders
        self._parts = {
            (part.method, result.clip_key): part for part in read_parts(folders.slices) for result in part.measurements
        }

    def find(self, clip: ProbedClip, sources: range) -> FlowPart | None:
        """Find a slice of a clip, measured from the same bytes by the same method."""
        part = self._parts.get((slice_method(self._config, sources), clip.clip_key))
        return part if part and is_current(part.measurements[0], clip, self._config, self._folders) else None
