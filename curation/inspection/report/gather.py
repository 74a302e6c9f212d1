"""What a run made -> the report of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from curation.config import CurationConfig
from curation.inspection.report.clip_stats import count_steps, gather_duplicates, gather_failures, gather_shapes
from curation.inspection.report.motion_stats import count_kept, count_measured
from curation.inspection.report.report_data import Histogram, Report, SplitSummary
from curation.inspection.report.sample_pairs import draw_pairs
from curation.run.progress import StageTime
from shards.location import Location
from shards.manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the report takes what the manifest does not tell."""

    out: Location
    """The data set; its shards are written."""
    config: CurationConfig
    clips: pa.Table
    """CLIPS_SCHEMA, but for captions and hashes; uri, key and detail may be null for what was kept or merged."""
    parts: Iterable[Location]
    """Of the flow table."""
    kept: Mapping[str, pa.Table]
    """Kept pairs by split, SELECTION_SCHEMA."""
    in_range_histograms: Mapping[str, tuple[int, ...]]
    """Pairs in range by split, in the manifest's bins."""
    flatness: float | None
    incidents: Iterable[str]
    """Keys of the clips in OUT/quarantine/."""
    stages: tuple[StageTime, ...]


def gather_report(sources: Sources, manifest: Manifest) -> Report:
    """Gather what report.html says. Raises DatasetError where a part or a shard is damaged."""
    measured, kept = count_measured(sources.parts), count_kept(sources.kept.values())
    return Report(
        title=sources.out.name,
        listing=manifest.listing.uri,
        place="." if isinstance(sources.out, Path) else str(sources.out),
        clip_steps=count_steps(sources.clips),
        verdicts=manifest.verdicts,
        failures=gather_failures(sources.clips, sources.incidents),
        duplicates=gather_duplicates(sources.clips),
        shapes=gather_shapes(sources.clips),
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
        pairs=draw_pairs(sources.out, manifest.splits),
        stages=sources.stages,
        config=manifest.config,
        software=manifest.software,
    )
