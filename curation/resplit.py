"""A finished data set -> another one with other thresholds, from its own tables: nothing is measured.

What became of each clip and every pair's motion stand in the data set; only the GIFs lie elsewhere. So the clips that
will be kept are found first, and the bytes of these alone are fetched. While Ray starts, GIFs at hand that were kept
before are looked at, as most of them are wanted again.
"""

import contextlib
import dataclasses
from collections.abc import Mapping

import numpy as np
import pyarrow.compute as pc

from curation.config import CurationConfig
from curation.decode.probe import ProbedClip
from curation.decode.probe_results import ProbeResults
from curation.decode.probe_stage import ProbeStage
from curation.errors import OutputError, SourceChangedError
from curation.export.dataset import MEASURED, FinishedDataset, catalog_of
from curation.export.reuse import ReadyShards
from curation.fetch.stage import Arrivals, is_elsewhere
from curation.finish import Summary, describe_listing
from curation.flow.measure import method_digest
from curation.flow.stage import FlowTable
from curation.flow.table import read_parts
from curation.listing.catalog import Catalog
from curation.options import RunOptions
from curation.pipeline import Selected, fetch, is_finished, measure, select, select_and_export, start_own
from curation.run.progress import Progress
from curation.run.workers import Workers
from curation.run.workspace import Workspace
from shards.errors import DatasetError
from shards.schema import FLOW, Verdict

_ROWS_AT_A_TIME = 65_536
_MOST_GUESSED = 5_000
"""More GIFs than can be looked at while Ray starts."""


def resplit(
    dataset: FinishedDataset, options: RunOptions, config: CurationConfig, progress: Progress
) -> Summary | None:
    """Make `options.out` of a finished data set; None where it holds exactly that already.

    `options` tell where the listing and the GIFs lay. A kept clip whose bytes cannot be had any more, or are others
    now, gets the verdict fetch_failed, and the rest is selected without it. Raises CurationError where the user must
    act, and DatasetError where the data set's tables do not fit together.
    """
    if options.out == dataset.out:
        raise OutputError(f"--out {options.out} is the data set itself; name another folder")
    workspace = Workspace(options.out)
    with progress.stage("listing"):
        catalog = catalog_of(dataset, options, config)
        probed = recall_clips(dataset, catalog)
    refuse_other_table(dataset, probed, config)
    parameters = {**dataclasses.asdict(config), "split_lists": catalog.split_lists}
    with workspace.claim(overwrite=options.overwrite):
        if is_finished(workspace, catalog, parameters, options):
            return None
        workspace.reopen()
        with contextlib.ExitStack() as running:
            ready = ReadyShards(options.flow, config)
            guessed = ProbeStage(guess_kept(dataset, catalog), ProbeResults(catalog.clips), config)
            workers = start_own(running, options, ready, progress, guessed)
            table, selected = _gather(workspace, catalog, probed, guessed.probed, options, config, progress, workers)
            pictures = ready.find(probed, workers, progress)
            listing = dataclasses.replace(describe_listing(options, catalog), uri=dataset.manifest.listing.uri)
            return select_and_export(
                workspace,
                catalog,
                probed,
                table,
                pictures,
                listing,
                parameters,
                config,
                progress,
                workers,
                running,
                selected,
            )


def guess_kept(dataset: FinishedDataset, catalog: Catalog) -> Arrivals:
    """Take some clips that the data set keeps, as most of these will be kept again: those that need not be fetched."""
    kept = dataset.clips.filter(pc.equal(dataset.clips["verdict"], Verdict.KEPT.value))["clip_key"]
    clips = [catalog.clips[key] for key in kept.slice(0, _MOST_GUESSED).to_pylist()]
    return Arrivals(asked={clip.key: clip for clip in clips if not is_elsewhere(clip)}, locations={}, failures={})


def recall_clips(dataset: FinishedDataset, catalog: Catalog) -> ProbeResults:
    """Take from clips.parquet what looking at each clip found out; those that came to nothing keep their verdict."""
    columns = ["clip_key", "verdict", "detail", "sha256", "width", "height", "num_frames", "num_pairs"]
    probed = ProbeResults(catalog.clips)
    for batch in dataset.own_clips.select(columns).to_batches(max_chunksize=_ROWS_AT_A_TIME):
        for row in batch.to_pylist():
            usable = row["verdict"] in (*MEASURED, Verdict.DUPLICATE) and row["num_pairs"]
            probed.record(
                ProbedClip(
                    clip_key=row["clip_key"],
                    sha256=row["sha256"],
                    width=row["width"],
                    height=row["height"],
                    num_frames=row["num_frames"],
                    verdict=None if usable else Verdict(row["verdict"]),
                    detail=None if usable else row["detail"],
                )
            )
    return probed


def refuse_other_table(dataset: FinishedDataset, probed: ProbeResults, config: CurationConfig) -> None:
    """Raise DatasetError where the flow table was measured in another way, or lacks a clip that was measured."""
    held = np.zeros(len(probed.clips), dtype=bool)
    for part in read_parts(dataset.out / FLOW, method_digest(config)):
        numbers = probed.clips.find_numbers([one.clip_key for one in part.measurements])
        for number, one in zip(numbers.tolist(), part.measurements, strict=True):
            if number >= 0:
                held[number] = one.sha256 == probed.at(number).sha256
    usable = probed.usable
    missing = usable[~held[usable]]
    if len(missing) and len(missing) == len(usable):
        raise DatasetError(
            f"{dataset.out / 'flow'}: nothing in it was measured by this version; make the data set anew by "
            "pix2gif curate, which measures"
        )
    if len(missing):
        raise DatasetError(
            f"{dataset.out / 'flow'}: the pairs of {probed.clips.keys_in_order[missing[0]]} are not there; pix2gif "
            "verify tells more"
        )


def _gather(
    workspace: Workspace,
    catalog: Catalog,
    probed: ProbeResults,
    seen: Mapping[str, ProbedClip],
    options: RunOptions,
    config: CurationConfig,
    progress: Progress,
    workers: Workers,
) -> tuple[FlowTable, Selected]:
    """Bring the bytes of every clip that will be kept; returns the flow table, and what is kept.

    Enters in `probed` where they lie, or why they do not; some were `seen` already. Where one is lost another may come
    in its place, a copy of it, so this goes on until nothing new is wanted.
    """
    here: set[str] = set()
    while True:
        table = measure(probed, workspace, options, config, progress, workers)
        selected = select(catalog, table, config, progress)
        wanted = {key for one in selected.by_split.values() for key in one.kept_clips} - here
        if not wanted:
            return table, selected
        clips = {key: clip for key, clip in catalog.clips.items() if key in wanted and key not in seen}
        arrivals = fetch(clips, workspace, options, config, progress)
        found = ProbeStage(arrivals, ProbeResults(catalog.clips), config).finish(progress, workers)
        for one in (*found.values(), *(seen[key] for key in wanted if key in seen)):
            probed.record(_hold_against(probed[one.clip_key], one))
        here |= wanted
        lost = [one for key in wanted if (one := probed[key]).verdict is not None]
        if len(lost) == len(wanted) == len(here):
            raise SourceChangedError(
                f"none of the {len(lost):,} GIFs to be kept can be had, the first because: {lost[0].detail}; name the "
                "folder where they are by --gifs"
            )
        if not lost:
            return table, selected


def _hold_against(known: ProbedClip, found: ProbedClip) -> ProbedClip:
    """Take the place of a clip's bytes, if they are those that were measured."""
    if found.sha256 == known.sha256:
        return dataclasses.replace(known, path=found.path)
    reason = found.detail if found.sha256 is None else f"{found.path} holds other bytes than those that were measured"
    return dataclasses.replace(known, verdict=Verdict.FETCH_FAILED, detail=reason)
