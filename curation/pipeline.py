"""The stages of a curation run in order: catalogue, fetch, probe, measure, select, export, manifest and report."""

import contextlib
import dataclasses
import itertools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.config import CurationConfig
from curation.decode.probe_results import ProbeResults
from curation.decode.probe_stage import ProbeStage
from curation.errors import OutputError
from curation.export.clip_verdicts import assign_verdicts
from curation.export.reuse import ReadyPictures, ReadyShards
from curation.export.stage import ClipsLostError, write_shards
from curation.fetch.stage import Arrivals, fetch_all, is_elsewhere
from curation.finish import Curated, Summary, describe_listing, finish_dataset
from curation.flow.measure import method_digest
from curation.flow.stage import FlowTable, give_up_clips, make_flow, plan_flow
from curation.flow.table import read_parts
from curation.flow.tasks import LOST
from curation.listing.catalog import Catalog, read_catalog
from curation.listing.clips import Clip
from curation.options import RunOptions
from curation.run.meanwhile import doing_meanwhile
from curation.run.node_check import watch_nodes
from curation.run.progress import Progress
from curation.run.quarantine import keep_incidents
from curation.run.sandbox import prepare
from curation.run.saved_options import note_run, settle_run
from curation.run.versions import software_versions
from curation.run.workers import RayWorkers, Workers, start_workers
from curation.run.workspace import Workspace
from curation.selection.duplicates import Duplicate, find_duplicates
from curation.selection.pairs import Selection, select_pairs
from shards.manifest import ListingEntry, Manifest, digest

_CLIPS_LOOKED_FOR = 1_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selected:
    """What a data set is to hold."""

    by_split: dict[str, Selection]
    duplicates: Mapping[str, Duplicate]
    """Clips that are left out as duplicates of others, by key."""


def curate(options: RunOptions, config: CurationConfig, progress: Progress, *, again: bool = False) -> Summary | None:
    """Make the data set; None where OUT already holds exactly it. `again`: even then, and try lost clips once more.

    Raises CurationError where the user must act. Whatever was finished before stays, and the same call goes on.
    """
    workspace = Workspace(options.out)
    with progress.stage("listing"):
        catalog = read_catalog(options, config)
    parameters = {**dataclasses.asdict(config), "split_lists": catalog.split_lists}
    with workspace.claim(overwrite=options.overwrite):
        if is_finished(workspace, catalog, parameters, options) and not again:
            workspace.clear()
            return None
        refuse_useless_flow(options, config)
        workspace.reopen()
        note_run(workspace.work, options, config)
        if again:
            keep_incidents(workspace.quarantine, set())
        with contextlib.ExitStack() as running:
            # A cluster is joined first, so that what it lacks is told before hours of fetching; a Ray of our own after.
            workers = join_cluster(running, catalog, workspace, options, progress) if options.ray_address else None
            arrivals = fetch(catalog.clips, workspace, options, config, progress)
            ready = ReadyShards(options.flow, config)
            probing = ProbeStage(arrivals, ProbeResults(catalog.clips), config)
            if workers is None:
                workers = start_own(running, options, ready, progress, probing)
            probed = probing.finish(progress, workers)
            table = measure(probed, workspace, options, config, progress, workers)
            pictures = ready.find(probed, workers, progress)
            listing = describe_listing(options, catalog)
            return select_and_export(
                workspace, catalog, probed, table, pictures, listing, parameters, config, progress, workers, running
            )


def start_own(
    running: contextlib.ExitStack,
    options: RunOptions,
    ready: ReadyShards,
    progress: Progress,
    probing: ProbeStage | None = None,
) -> Workers:
    """Start workers on this machine, and do what needs none of them while that takes its time."""
    with progress.stage("start", unit="GIFs") as bar:
        if not options.workers:
            return running.enter_context(start_workers(0))
        with doing_meanwhile([*ready.chores(), *(probing.chores(bar) if probing else [])]):
            workers = running.enter_context(start_workers(options.workers))
            workers.warm_up(prepare)
        return workers


def join_cluster(
    running: contextlib.ExitStack, catalog: Catalog, workspace: Workspace, options: RunOptions, progress: Progress
) -> Workers:
    """Join the cluster that the options name, and have each of its nodes looked at."""
    clips = catalog.clips.values()
    folders = {f"--out {workspace.out}": workspace.work}
    cache = options.fetch.cache
    if cache and "://" not in cache and any(map(is_elsewhere, clips)):
        folders[f"--cache {cache}"] = Path(cache)
    with progress.stage("start"):
        workers = running.enter_context(start_workers(options.workers, address=options.ray_address))
        if isinstance(workers, RayWorkers):
            # To look for each of a million files here, before any work, would take minutes.
            shown = itertools.islice(clips, 0, None, max(1, len(clips) // _CLIPS_LOOKED_FOR))
            running.enter_context(watch_nodes(workers, folders, (clip.location for clip in shown)))
        return workers


def is_finished(workspace: Workspace, catalog: Catalog, parameters: dict[str, Any], options: RunOptions) -> bool:
    """Whether OUT holds the very data set that is asked for. Raises OutputError where it holds another one."""
    manifest = workspace.finished()
    if manifest is None:
        return False
    differing = _differences(manifest, catalog, parameters)
    if not differing:
        return True
    if not options.overwrite:
        raise OutputError(
            f"--out {options.out} holds a finished data set made with other parameters ({', '.join(differing)}); "
            "choose another --out, or add --overwrite to replace it"
        )
    return False


def _differences(manifest: Manifest, catalog: Catalog, parameters: dict[str, Any]) -> list[str]:
    """Say what would be made otherwise now."""
    differing = []
    if manifest.listing.sha256 != catalog.sha256:
        differing.append("another listing")
    if manifest.config_digest != digest(parameters):
        names = sorted(manifest.config.keys() | parameters.keys())
        changed = [name for name in names if manifest.config.get(name) != parameters.get(name)]
        differing += [f"{name} {manifest.config.get(name)} there, {parameters.get(name)} now" for name in changed]
    if manifest.software != software_versions():
        differing.append("other versions of the software")
    return differing


def select_and_export(
    workspace: Workspace,
    catalog: Catalog,
    probed: ProbeResults,
    table: FlowTable,
    ready: ReadyPictures,
    listing: ListingEntry,
    parameters: dict[str, Any],
    config: CurationConfig,
    progress: Progress,
    workers: Workers,
    running: contextlib.ExitStack,
    selected: Selected | None = None,
) -> Summary:
    """Make a data set of what was measured: select, where that is not done yet, write the shards, close the accounts.

    `running` holds the workers, and is closed when they are not needed any more.
    """
    while True:
        selected = selected or select(catalog, table, config, progress)
        try:
            shards = write_shards(catalog, probed, selected.by_split, ready, workspace, config, progress, workers)
            break
        except ClipsLostError as error:
            # It was measured and cannot be exported: from here on it is as if it had been lost in measuring.
            table, selected = give_up_clips(table, error.failures, config, workspace.places), None
    curated = Curated(
        out=workspace.out,
        listing=listing,
        catalog=catalog,
        config=config,
        parameters=parameters,
        verdicts=assign_verdicts(catalog, probed, table.measured, selected.by_split, selected.duplicates, config),
        selections=selected.by_split,
        shards=shards,
        parts=table.parts,
    )
    # Ray takes more than a second to end, as long as it takes to close the accounts.
    with ThreadPoolExecutor(1) as aside:
        stopping = aside.submit(running.close)
        with progress.stage("finish"):
            workspace.confirm()
            manifest = finish_dataset(curated, progress.stages)
            lost = table.measured.verdicts.find(*LOST).tolist()
            keep_incidents(workspace.quarantine, {catalog.clips.keys_in_order[number] for number in lost})
            settle_run(workspace.work, manifest.verdicts)
            workspace.clear()
        with progress.stage("stop"):
            stopping.result()
    return Summary(
        curated=curated,
        manifest=manifest,
        num_reused=table.num_reused,
        num_pairs_measured=table.num_pairs_measured,
        seconds=progress.seconds,
    )


def fetch(
    clips: Mapping[str, Clip], workspace: Workspace, options: RunOptions, config: CurationConfig, progress: Progress
) -> Arrivals:
    """Bring every clip within reach of the workers, before any of them is started."""
    num_elsewhere = sum(map(is_elsewhere, clips.values()))
    if not num_elsewhere:
        return Arrivals(asked=clips, locations={}, failures={})
    with progress.stage("fetch", num_elsewhere, "GIFs") as bar:
        return fetch_all(clips, options.fetch, workspace.fetched, config.max_bytes, bar.update)


def measure(
    probed: ProbeResults,
    workspace: Workspace,
    options: RunOptions,
    config: CurationConfig,
    progress: Progress,
    workers: Workers,
) -> FlowTable:
    """Measure what no sound part holds yet."""
    folders = [workspace.flow, *([options.flow] if options.flow else [])]
    places = workspace.places
    plan = plan_flow(probed, folders, config, places)
    with progress.stage("measure", plan.num_pairs, "pairs") as bar:
        return make_flow(plan, config, places, workers, bar)


def refuse_useless_flow(options: RunOptions, config: CurationConfig) -> None:
    """Raise OutputError where --flow holds nothing that was measured as this run would measure."""
    if options.flow and next(read_parts(options.flow, method_digest(config)), None) is None:
        raise OutputError(
            f"--flow {options.flow} holds no flow table measured at resolution {config.resolution} by this version; "
            "leave --flow out to measure"
        )


def select(catalog: Catalog, table: FlowTable, config: CurationConfig, progress: Progress) -> Selected:
    """Select each split's pairs from its usable clips."""
    with progress.stage("select"):
        pa.default_memory_pool().release_unused()
        duplicates = find_duplicates(catalog, table, config)
        clips = catalog.clips
        keys = ((clips.keys_in_order[number], number) for number in table.measured.usable.tolist())
        usable = {key: clips.split(number) for key, number in keys if key not in duplicates}
        return Selected(by_split=select_pairs(table.parts, usable, config), duplicates=duplicates)
