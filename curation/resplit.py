"""Make another data set from a finished one, with other thresholds, without measuring.

The data set holds the verdict of each clip and the motion of every pair, but no GIFs. So the pairs are selected first,
and only the GIFs of the clips to be kept are fetched.
"""

import dataclasses

import numpy as np

from curation.config import CurationConfig
from curation.decode.formats.animation import name_decoder
from curation.decode.probe import ProbedClip
from curation.decode.probe_results import ProbeResults
from curation.decode.probe_stage import probe_all
from curation.errors import OutputError, SourceChangedError
from curation.export.dataset import MEASURED, FinishedDataset, rebuild_catalog
from curation.file_format import FileFormat
from curation.finish import Summary, describe_listing
from curation.flow.measure import method_digest
from curation.flow.stage import FlowTable, measure_all
from curation.flow.table import read_parts
from curation.listing.catalog import Catalog
from curation.options import RunOptions
from curation.pipeline import Selected, clean_up_finished, fetch, is_finished, select, select_and_export, start_workers
from curation.run.context import Run, open_run
from curation.run.progress import Progress
from shards.errors import DatasetError
from shards.schema import FLOW, Verdict
from shards.storage.ownership import is_same_location

_ROWS_PER_BATCH = 65_536


def resplit(
    dataset: FinishedDataset, options: RunOptions, config: CurationConfig, progress: Progress
) -> Summary | None:
    """Make `options.out` from a finished data set; return None if it holds exactly that already.

    The options name the listing and the GIFs of the data set. A clip to be kept whose bytes are gone or have changed
    gets the verdict fetch_failed, and the pairs are selected again without it. Raises CurationError if the user must
    act, and DatasetError if the data set's tables do not fit together.
    """
    if is_same_location(options.out, dataset.out):
        raise OutputError(f"--out {options.out} is the data set itself; name another folder")
    with progress.stage("listing"):
        catalog = rebuild_catalog(dataset, options, config)
        probed = restore_probe_results(dataset, catalog)
    check_flow_table(dataset, probed, config)
    with open_run(options, config, progress) as run:
        if is_finished(run, catalog):
            clean_up_finished(run)
            return None
        run.workspace.mark_unfinished()
        start_workers(run, catalog)
        table, selected = _select_and_fetch(run, catalog, probed)
        listing = dataclasses.replace(describe_listing(options, catalog), uri=dataset.manifest.listing.uri)
        return select_and_export(run, catalog, probed, table, listing, selected)


def restore_probe_results(dataset: FinishedDataset, catalog: Catalog) -> ProbeResults:
    """Read the probe results of every clip from clips.parquet. Clips that failed keep their verdict."""
    columns = ["clip_key", "verdict", "detail", "sha256", "width", "height", "num_frames", "num_pairs", "format"]
    probed = ProbeResults(catalog.clips)
    for batch in dataset.own_clips.select(columns).to_batches(max_chunksize=_ROWS_PER_BATCH):
        for row in batch.to_pylist():
            usable = row["verdict"] in (*MEASURED, Verdict.DUPLICATE) and row["num_pairs"]
            probed.record(
                ProbedClip(
                    clip_key=row["clip_key"],
                    sha256=row["sha256"],
                    width=row["width"],
                    height=row["height"],
                    num_frames=row["num_frames"],
                    format=FileFormat(row["format"]) if row["format"] else None,
                    verdict=None if usable else Verdict(row["verdict"]),
                    detail=None if usable else row["detail"],
                )
            )
    return probed


def check_flow_table(dataset: FinishedDataset, probed: ProbeResults, config: CurationConfig) -> None:
    """Raise DatasetError if the flow table was measured by another method, or lacks a clip that was measured."""
    is_measured = np.zeros(len(probed.clips), dtype=bool)
    for part in read_parts(dataset.out / FLOW, method_digest(config)):
        numbers = probed.clips.find_numbers([result.clip_key for result in part.measurements])
        for number, result in zip(numbers.tolist(), part.measurements, strict=True):
            if number >= 0:
                clip = probed.at(number)
                is_alike = result.decoder == name_decoder(clip.format, config)
                is_measured[number] = is_alike and result.sha256 == clip.sha256
    usable = probed.usable
    missing = usable[~is_measured[usable]]
    if len(missing) and len(missing) == len(usable):
        raise DatasetError(
            f"{dataset.out / 'flow'}: nothing in it was measured by this version; run pix2gif curate, which measures "
            "again"
        )
    if len(missing):
        raise DatasetError(
            f"{dataset.out / 'flow'}: the pairs of {probed.clips.keys_in_order[missing[0]]} are missing; pix2gif "
            "verify lists what is damaged"
        )


def _select_and_fetch(run: Run, catalog: Catalog, probed: ProbeResults) -> tuple[FlowTable, Selected]:
    """Select pairs and fetch the GIFs of every clip to be kept; return the flow table and the selection.

    Updates `probed` with the location of each GIF, or with the reason why it is missing. Another clip, such as a
    duplicate, may take the place of a missing one: repeat until no new clip is selected.
    """
    here: set[str] = set()
    while True:
        table = measure_all(run, probed)
        selected = select(run, catalog, table)
        wanted = {key for selection in selected.by_split.values() for key in selection.kept_clips} - here
        if not wanted:
            return table, selected
        fetched = fetch(run, {key: clip for key, clip in catalog.clips.items() if key in wanted})
        for key, clip in probe_all(run, fetched, ProbeResults(catalog.clips)).items():
            probed.record(_locate(probed[key], clip))
        here |= wanted
        lost = [clip for key in wanted if (clip := probed[key]).verdict is not None]
        if len(lost) == len(wanted) == len(here):
            raise SourceChangedError(
                f"none of the {len(lost):,} GIFs to be kept can be read; the first: {lost[0].detail}; name the folder "
                "that holds them by --gifs"
            )
        if not lost:
            return table, selected


def _locate(measured: ProbedClip, now: ProbedClip) -> ProbedClip:
    """Return the measured clip at its present location; as fetch_failed if its bytes are not those measured."""
    if now.sha256 == measured.sha256:
        return dataclasses.replace(measured, path=now.path)
    reason = now.detail if now.sha256 is None else f"{now.path} holds other bytes than when it was measured"
    verdict = Verdict.OPTED_OUT if now.verdict is Verdict.OPTED_OUT else Verdict.FETCH_FAILED
    return dataclasses.replace(measured, verdict=verdict, detail=reason)
