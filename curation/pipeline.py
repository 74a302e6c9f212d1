"""The stages of a curation run in order: listing, fetch, probe, measure, select, export, finish."""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.config import CurationConfig
from curation.decode.probe_results import ProbeResults
from curation.decode.probe_stage import check_any_arrived, probe_all
from curation.errors import OutputError
from curation.export.clip_verdicts import assign_verdicts
from curation.export.dataset import find_damage
from curation.export.source_check import find_changed_sources
from curation.export.stage import ClipsLostError, write_shards
from curation.fetch.opt_outs import OptOutRules
from curation.fetch.read_listing import read_listing
from curation.fetch.stage import FetchedClips, fetch_all, is_remote
from curation.finish import Curated, Summary, describe_listing, finish_dataset
from curation.flow.measure import method_digest
from curation.flow.stage import FlowTable, drop_lost_clips, measure_all
from curation.flow.table import read_parts
from curation.flow.tasks import LOST
from curation.listing.catalog import Catalog, read_catalog
from curation.listing.clips import Clip
from curation.options import RunOptions
from curation.run.compile_stage import compile_for_driver
from curation.run.context import Run, open_run
from curation.run.node_check import check_nodes
from curation.run.progress import Progress
from curation.run.quarantine import remove_other_incidents
from curation.run.saved_options import forget_options, save_options
from curation.run.versions import is_same_software
from curation.run.workers import RayWorkers
from curation.selection.duplicates import Duplicate, find_duplicates, may_search, warm_up_search
from curation.selection.pairs import Selection, select_pairs
from shards.errors import DatasetError
from shards.manifest import ListingEntry, Manifest, digest, read_manifest
from shards.schema import MANIFEST, SCHEMA_VERSION, Verdict
from shards.storage.ownership import read_record

_CLIPS_CHECKED = 1_000
_ADDED_PARAMETERS = {
    name: CurationConfig.__dataclass_fields__[name].default
    for name in (
        "keep_credentials",
        "fps",
        "robots",
        "ignore_opt_outs",
        "uri_column",
        "caption_column",
        "keep_columns",
        "gifs_by",
        "limit",
    )
}
"""Parameters that earlier versions lack. A default is not recorded, so that data sets made before stay equal."""
_REPAIR = (
    "pix2gif verify names each fault; restore the files from a copy, or run pix2gif-curate with --overwrite to make "
    "the data set again from what is intact"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selected:
    """What a data set will hold."""

    by_split: dict[str, Selection]
    duplicates: Mapping[str, Duplicate]
    """Clips that are left out as duplicates of others, by key."""


def curate(
    options: RunOptions, config: CurationConfig, progress: Progress, *, retry_failed: bool = False
) -> Summary | None:
    """Make the data set; return None if OUT holds exactly it already.

    With `retry_failed`, failed clips are retried even then. Raises CurationError if the user must act: finished work
    is kept, and the same call resumes the run.
    """
    with progress.stage("listing"):
        catalog = read_catalog(read_listing(options, config), options, config)
        for line in catalog.notes:
            progress.note(line)
    with open_run(options, config, progress) as run:
        if is_finished(run, catalog) and not retry_failed and not _have_sources_changed(run, catalog):
            clean_up_finished(run)
            return None
        _check_reused_flow(options, config)
        run.workspace.mark_unfinished()
        save_options(run.workspace.work, options, config)
        if retry_failed:
            remove_other_incidents(run.workspace.quarantine, set())
        if options.ray_address:
            start_workers(run, catalog)  # Before hours of fetching, so that an unusable node is reported first.
        fetched = fetch(run, catalog.clips)
        start_workers(run, catalog)
        probed = probe_all(run, fetched, ProbeResults(catalog.clips))
        check_any_arrived(probed, options)
        table = measure_all(run, probed)
        return select_and_export(run, catalog, probed, table, describe_listing(options, catalog))


def start_workers(run: Run, catalog: Catalog) -> None:
    """Start the workers, unless they run; on a cluster, check every node."""
    workers, options = run.workers, run.options
    with run.progress.stage("start"):
        if workers.start() and isinstance(workers, RayWorkers) and options.ray_address:
            clips = catalog.clips.values()
            folders = {f"--out {options.out}": run.workspace.work}
            cache = options.fetch.cache
            if cache and "://" not in cache and any(map(is_remote, clips)):
                folders[f"--cache {cache}"] = Path(cache)
            # A sample: to check a million files would take minutes.
            step = max(1, len(clips) // _CLIPS_CHECKED)
            locations = (clip.location for clip in itertools.islice(clips, 0, None, step))
            workers.cleanup.enter_context(check_nodes(workers, folders, locations))


def clean_up_finished(run: Run) -> None:
    """Remove what a run left that was killed after it had finished the data set."""
    with contextlib.suppress(OSError):  # OUT may be read-only.
        forget_options(run.workspace.work, read_manifest(run.workspace.out).verdicts)
    run.workspace.clean_up()


def is_finished(run: Run, catalog: Catalog) -> bool:
    """Return whether OUT holds the requested data set.

    Raises OutputError if it holds a finished data set that is another one, damaged or of a newer version, unless the
    run may overwrite it.
    """
    out = run.workspace.out
    if not (out / MANIFEST).exists():
        return False
    problem = _find_problem(run, catalog)
    if problem is None:
        return True
    if not run.options.overwrite:
        raise OutputError(f"--out {out} holds a finished data set {problem}")
    return False


def _find_problem(run: Run, catalog: Catalog) -> str | None:
    """Return why the finished data set in OUT is not the requested one, and what to do; None if it is."""
    out = run.workspace.out
    version = read_record(out / MANIFEST).get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        return (
            f"of a newer pix2gif (schema_version {version}, this one writes {SCHEMA_VERSION}); use the version that "
            "made it, choose another --out, or add --overwrite to replace it"
        )
    try:
        manifest = read_manifest(out)
    except DatasetError as error:
        return f"that is damaged ({error}); {_REPAIR}"
    differences = list(_list_differences(manifest, catalog, _list_parameters(run.config, catalog)))
    if differences:
        return (
            f"made with other parameters ({', '.join(differences)}); choose another --out, or add --overwrite to "
            "replace it"
        )
    if damage := find_damage(run.workspace, manifest):
        return f"that is damaged ({damage}); {_REPAIR}"
    return None


def _have_sources_changed(run: Run, catalog: Catalog) -> bool:
    """Return whether a GIF has changed behind a finished data set, where the run is to look.

    Raises OutputError if one has and the run may not overwrite the data set.
    """
    if not run.options.check_sources:
        return False
    changed = list(find_changed_sources(run.workspace.out, catalog.clips))
    if changed and not run.options.overwrite:
        more = f" and {len(changed) - 1:,} more" if changed[1:] else ""
        raise OutputError(
            f"{changed[0]}{more} changed after the data set in --out {run.workspace.out} was made; restore the GIFs, "
            "or add --overwrite to measure them again"
        )
    return bool(changed)


def _list_parameters(config: CurationConfig, catalog: Catalog) -> dict[str, Any]:
    """Return everything that can change a byte of the data set, besides the listing and the software."""
    parameters = {**dataclasses.asdict(config), "split_lists": catalog.split_lists}
    for name, default in _ADDED_PARAMETERS.items():
        if parameters[name] == default:
            del parameters[name]
        elif isinstance(parameters[name], tuple):
            parameters[name] = list(parameters[name])  # As JSON has it.
    return parameters


def _list_differences(manifest: Manifest, catalog: Catalog, parameters: dict[str, Any]) -> Iterator[str]:
    if manifest.listing.sha256 != catalog.sha256:
        yield "another listing"
    if manifest.config_digest != digest(parameters):
        for name in sorted(manifest.config.keys() | parameters.keys()):
            if manifest.config.get(name) != parameters.get(name):
                yield f"{name} {manifest.config.get(name)} there, {parameters.get(name)} now"
    if not is_same_software(manifest.software):
        yield "other versions of the software"


def _check_reused_flow(options: RunOptions, config: CurationConfig) -> None:
    """Raise OutputError if --flow holds no part that this version measured at this resolution."""
    if options.flow and next(read_parts(options.flow, method_digest(config)), None) is None:
        raise OutputError(
            f"--flow {options.flow} holds no flow table measured at resolution {config.resolution} by this version; "
            "leave --flow out to measure"
        )


def fetch(run: Run, clips: Mapping[str, Clip]) -> FetchedClips:
    """Download or locate every clip."""
    num_remote = sum(map(is_remote, clips.values()))
    if not num_remote:
        return FetchedClips(requested=clips, locations={}, failures={})
    with run.progress.stage("fetch", num_remote, "GIFs") as bar:
        rules = OptOutRules.from_config(run.config)

        def done(verdict: Verdict | None) -> None:
            run.progress.count_verdicts([verdict])
            bar.update(1)

        return fetch_all(clips, run.options.fetch, run.workspace.fetched, run.config.max_bytes, done, rules)


def select(run: Run, catalog: Catalog, table: FlowTable) -> Selected:
    """Select each split's pairs from its usable clips, without duplicates."""
    if may_search(catalog.clips, run.config):
        compile_for_driver(run, warm_up_search, "the search for near-duplicates")
    with run.progress.stage("select"):
        pa.default_memory_pool().release_unused()
        duplicates = find_duplicates(catalog, table, run.config)
        clips = catalog.clips
        keys = ((clips.keys_in_order[number], number) for number in table.measured.usable.tolist())
        usable = {key: clips.split(number) for key, number in keys if key not in duplicates}
        return Selected(by_split=select_pairs(table.parts, usable, run.config), duplicates=duplicates)


def select_and_export(
    run: Run,
    catalog: Catalog,
    probed: ProbeResults,
    table: FlowTable,
    listing: ListingEntry,
    selected: Selected | None = None,
) -> Summary:
    """Make the data set from the flow table: select, unless that is done, write the shards, the tables, the manifest.

    A clip that was measured but cannot be encoded is treated as failed, and the pairs are selected again.
    """
    while True:
        selected = selected or select(run, catalog, table)
        try:
            shards = write_shards(run, catalog, probed, selected.by_split)
            break
        except ClipsLostError as error:
            table, selected = drop_lost_clips(table, error.results, run), None
    verdicts = assign_verdicts(catalog, probed, table.measured, selected.by_split, selected.duplicates, run.config)
    curated = Curated(
        out=run.workspace.out,
        listing=listing,
        catalog=catalog,
        config=run.config,
        parameters=_list_parameters(run.config, catalog),
        verdicts=verdicts,
        selections=selected.by_split,
        shards=shards,
        parts=table.parts,
    )
    with run.progress.stage("finish"):
        run.workspace.check_lock()
        lost = table.measured.verdicts.find(*LOST).tolist()
        remove_other_incidents(run.workspace.quarantine, {catalog.clips.keys_in_order[number] for number in lost})
        manifest = finish_dataset(curated, run.progress.stages)
        forget_options(run.workspace.work, manifest.verdicts)
        run.progress.write_to(None)
        run.workspace.clean_up()
    return Summary(
        curated=curated,
        manifest=manifest,
        num_reused=table.num_reused,
        num_outdated=table.num_outdated,
        num_pairs_measured=table.num_pairs_measured,
        seconds=run.progress.seconds,
    )
