"""Manifest, tables and shards of a run -> `Report`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from curation.config import CurationConfig
from curation.inspection.report.clip_stats import (
    count_funnel,
    summarize_duplicates,
    summarize_failures,
    summarize_sizes,
)
from curation.inspection.report.motion_stats import count_kept_pairs, count_measured_pairs
from curation.inspection.report.report_data import Histogram, Report, SplitSummary
from curation.inspection.report.sample_pairs import read_sample_pairs
from curation.run.progress import StageTime
from shards.manifest import Manifest
from shards.storage.location import Location


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Inputs of the report, apart from the manifest."""

    out: Location
    """The data set; its shards are complete."""
    config: CurationConfig
    clips: pa.Table
    """CLIPS_SCHEMA without caption and sha256. For kept and merged rows, uri, clip_key and detail may be null."""
    parts: Iterable[Location]
    """Parts of the flow table."""
    kept: Mapping[str, pa.Table]
    """Kept pairs by split, SELECTION_SCHEMA."""
    in_range_histograms: Mapping[str, tuple[int, ...]]
    """Pairs in range by split, in the bins of the manifest."""
    flatness: float | None
    quarantined: Iterable[str]
    """Keys of the clips in OUT/quarantine/."""
    stages: tuple[StageTime, ...]


def gather_report(sources: Sources, manifest: Manifest) -> Report:
    """Compute the contents of report.html. Raises DatasetError for a damaged part or shard."""
    measured, kept = count_measured_pairs(sources.parts), count_kept_pairs(sources.kept.values())
    return Report(
        title=sources.out.name,
        listing=manifest.listing.uri,
        dataset_argument="." if isinstance(sources.out, Path) else str(sources.out),
        funnel=count_funnel(sources.clips),
        verdicts=manifest.verdicts,
        failures=summarize_failures(sources.clips, sources.quarantined),
        duplicates=summarize_duplicates(sources.clips),
        clip_sizes=summarize_sizes(sources.clips),
        num_pairs_measured=pa.compute.sum(sources.clips["num_pairs"]).as_py() or 0,
        num_pairs_in_range=pa.compute.sum(sources.clips["num_in_range"]).as_py() or 0,
        num_pairs_kept=pa.compute.sum(sources.clips["num_kept"]).as_py() or 0,
        num_measured_across_cut=measured.num_across_cut,
        num_kept_across_cut=kept.num_across_cut,
        motion_range_px=(sources.config.min_motion, sources.config.max_motion),
        motion_histogram=measured.motion_histogram,
        measured_by_gap=measured.summarize(),
        kept_by_gap=kept.summarize(),
        flatness=sources.flatness,
        splits=tuple(
            SplitSummary(
                name=name,
                num_clips=entry.num_clips,
                num_samples=entry.num_samples,
                num_shards=len(entry.shards),
                num_bytes=sum(shard.num_bytes for shard in entry.shards),
                motion=Histogram(
                    edges=entry.motion_histogram.bin_edges,
                    before=sources.in_range_histograms[name],
                    after=entry.motion_histogram.counts,
                ),
            )
            for name, entry in manifest.splits.items()
        ),
        pairs=read_sample_pairs(sources.out, manifest.splits),
        stages=sources.stages,
        config=manifest.config,
        software=manifest.software,
    )
