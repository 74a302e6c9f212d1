"""Probe results and existing flow parts -> clips that are measured already, and parts that are left to make."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.config import CurationConfig
from curation.decode.formats.animation import name_decoder
from curation.decode.probe import ProbedClip
from curation.decode.probe_results import ProbeResults
from curation.flow.measure import method_digest
from curation.flow.measure_results import MeasureResults
from curation.flow.schedule import Group, group_clips
from curation.flow.table import Measurement, read_parts
from curation.run.quarantine import find_incident
from curation.run.sandbox import Limits
from curation.run.workspace import TaskFolders
from shards.storage.location import Location

NO_PART = -1


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowPlan:
    """What is left to do for the flow table of a run."""

    probed: ProbeResults
    measured: MeasureResults
    """Results that exist already; the run adds its own."""
    in_place: tuple[Location, ...]
    """Complete parts in this run's flow folder."""
    to_copy: tuple[Path, ...]
    """Complete parts in another flow folder on disk: they are copied, byte for byte."""
    parts: tuple[Location, ...]
    """All existing parts."""
    part_of: NDArray[np.int32]
    """Index into `parts` of the part to copy a clip's rows from, int32 [clips]; NO_PART if the clip has to be measured,
    or its part is complete."""
    groups: tuple[Group, ...]
    """The clips of each part to make, the most expensive first."""
    num_outdated: int
    """Clips in parts of another method: another version of the software, or other limits or another resolution."""

    @property
    def num_pairs(self) -> int:
        """Pairs to measure, by the frame counts that the files announce."""
        missing = np.concatenate([np.empty(0, np.int64), *self.groups])
        return int(self.probed.sizes(missing[self.part_of[missing] == NO_PART]).num_pairs.sum())

    @property
    def num_reused(self) -> int:
        """Clips that are measured already."""
        return int(self.measured.verdicts.is_known.sum())


def plan_flow(
    probed: ProbeResults, sources: Sequence[Location], config: CurationConfig, folders: TaskFolders
) -> FlowPlan:
    """Find results for the same bytes and the same method in the `sources`, folders of flow parts; plan the rest.

    `folders.flow` is this run's flow folder and should be one of the sources.
    """
    clips = probed.clips
    measured = MeasureResults(clips)
    parts: list[Location] = []
    narrow: set[int] = set()
    clips_of_part: list[NDArray[np.int32]] = []
    part_of = np.full(len(clips), NO_PART, dtype=np.int32)
    num_outdated, method = 0, method_digest(config)
    for source in sources:
        for part in read_parts(source):
            if part.method != method:
                num_outdated += len(part.measurements)
                continue
            numbers = clips.find_numbers([result.clip_key for result in part.measurements])
            for number, result in zip(numbers.tolist(), part.measurements, strict=True):
                is_new = number >= 0 and part_of[number] == NO_PART
                if is_new and is_current(result, probed.at(number), config, folders):
                    part_of[number] = len(parts)
                    measured.record(result)
            if part.is_narrow:
                narrow.add(len(parts))
            parts.append(part.path)
            clips_of_part.append(numbers)
    in_place, to_copy, groups = [], [], []
    for group in group_clips(probed.sizes(probed.usable)):
        part_number = int(part_of[group[0]])
        is_complete = (
            part_number != NO_PART
            and part_number not in narrow
            and np.array_equal(clips_of_part[part_number], group)
            and bool((part_of[group] == part_number).all())
        )
        path = parts[part_number] if is_complete else None
        if path and path.parent == folders.flow:
            in_place.append(path)
        elif isinstance(path, Path) and isinstance(folders.flow, Path):
            to_copy.append(path)
        else:
            groups.append(group)
            continue
        part_of[group] = NO_PART
    return FlowPlan(
        probed=probed,
        measured=measured,
        in_place=tuple(in_place),
        to_copy=tuple(to_copy),
        parts=tuple(parts),
        part_of=part_of,
        groups=tuple(groups),
        num_outdated=num_outdated,
    )


def is_current(result: Measurement, clip: ProbedClip, config: CurationConfig, folders: TaskFolders) -> bool:
    """Return whether a result is of the clip's present bytes and need not be measured again.

    A clip that crashed or timed out is measured again under other limits, or if its quarantine record is gone.
    """
    if clip.verdict is not None or result.sha256 != clip.sha256:
        return False
    if result.decoder != name_decoder(clip.format, config):
        return False
    if result.limits is None:
        return True
    incident = find_incident(folders.quarantine, result.clip_key)
    return (
        result.limits == str(Limits.from_config(config)) and incident is not None and incident.sha256 == result.sha256
    )
