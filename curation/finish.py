"""Results of all stages -> clips.parquet, report.html, README.md and, last, dataset.json."""

import collections
import dataclasses
import os
import re
import urllib.parse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from curation.accounts import Accounts, list_rows
from curation.card import write_card
from curation.catalog import Catalog
from curation.config import CurationConfig, RunOptions
from curation.flatten import flatness_of
from curation.report import Report, ShownPair, SplitSummary, render_report
from curation.selection import Selection
from curation.software import software_versions
from curation.tally import bin_edges, read_part_columns, read_parts_abreast
from shards.atomic import write_atomically
from shards.location import Location
from shards.manifest import ListingEntry, Manifest, MotionHistogram, ShardEntry, SplitEntry, write_manifest
from shards.reader import read_shard
from shards.schema import CLIPS, CLIPS_SCHEMA, IMAGE_MIME, REPORT, Sample, Verdict

_SHOWN_FAILURES = 50
_SHOWN_PAIRS = 12
_HISTOGRAM_END_PX = 40


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curated:
    """All that the stages made, before the books are closed."""

    out: Location
    listing: ListingEntry
    catalog: Catalog
    config: CurationConfig
    parameters: dict[str, Any]
    """The config and whatever else can change a byte."""
    accounts: Accounts
    selections: dict[str, Selection]
    shards: dict[str, tuple[ShardEntry, ...]]
    parts: tuple[Location, ...]

    @property
    def num_pairs(self) -> int:
        """Pairs in the flow table."""
        return int(self.accounts.num_pairs.sum())

    @property
    def num_in_range(self) -> int:
        """Pairs in the motion range, of usable clips."""
        return int(self.accounts.num_in_range.sum())

    @property
    def num_kept(self) -> int:
        """Pairs written to shards."""
        return int(self.accounts.num_kept.sum())

    @property
    def flatness(self) -> float | None:
        """Entropy of the kept motion histogram of all splits over its greatest possible value."""
        return flatness_of(np.array([selection.kept_histogram for selection in self.selections.values()]).sum(axis=0))


def describe_listing(options: RunOptions, catalog: Catalog) -> ListingEntry:
    """Note what the listing was and where things lay, as seen from OUT, so that another data set can be made of it."""
    folder = str(options.listing).rpartition("/")[0]
    if "://" in folder:
        # A URL may name who reads, and what opens the door.
        folder = urllib.parse.urlsplit(folder)._replace(query="", fragment="").geturl()
        folder = re.sub(r"://[^/@]*@", "://", folder)
    else:
        folder = _seen_from(options.out, folder or "/")
    return ListingEntry(
        uri=options.listing_name,
        sha256=catalog.sha256,
        num_rows=len(catalog.rows),
        folder=folder,
        gifs=_seen_from(options.out, options.gifs) if options.gifs else None,
    )


def _seen_from(out: Location, folder: Path | str) -> str:
    """Tell where a folder on disk is: by a path from OUT, so that both can be moved; from a store, by a URL."""
    return os.path.relpath(folder, out) if isinstance(out, Path) else f"file://{folder}"


def finish_dataset(curated: Curated, seconds: dict[str, float]) -> Manifest:
    """Close the accounts, write the tables, the report and the card, then the manifest.

    Raises RuntimeError where a row or a sample cannot be accounted for: that is never the data's fault.
    """
    verdicts = _write_clips(curated)
    if sum(verdicts.values()) != len(curated.catalog.rows):
        raise RuntimeError(f"{len(curated.catalog.rows)} rows went in, {verdicts} came out")
    manifest = Manifest(
        listing=curated.listing,
        config=curated.parameters,
        software=software_versions(),
        verdicts=verdicts,
        splits={split: _split_entry(curated, split) for split in curated.shards},
    )
    report = render_report(make_report(curated, manifest, seconds))
    with write_atomically(curated.out / REPORT) as temporary:
        temporary.write_text(report, encoding="utf-8")
    write_card(curated.out, manifest)
    write_manifest(curated.out, manifest)
    return manifest


def _write_clips(curated: Curated) -> dict[str, int]:
    """Write clips.parquet, some rows at a time; returns the rows by verdict, all verdicts, in the contract's order."""
    counts: collections.Counter[str] = collections.Counter()
    with (
        write_atomically(curated.out / CLIPS) as temporary,
        pq.ParquetWriter(temporary, CLIPS_SCHEMA, compression="zstd") as file,
    ):
        for batch in list_rows(curated.accounts):
            counts.update(batch["verdict"].to_pylist())
            file.write_batch(batch)
    return {verdict.value: counts[verdict.value] for verdict in Verdict}


def _split_entry(curated: Curated, split: str) -> SplitEntry:
    selection, shards = curated.selections[split], curated.shards[split]
    written = sum(shard.num_samples for shard in shards)
    if written != selection.pairs.num_rows:
        raise RuntimeError(f"{selection.pairs.num_rows} pairs of {split} were kept, {written} were written")
    return SplitEntry(
        num_samples=written,
        num_clips=int((selection.num_kept > 0).sum()),
        motion_histogram=MotionHistogram(bin_edges=bin_edges(curated.config), counts=selection.kept_histogram),
        shards=shards,
    )


def make_report(curated: Curated, manifest: Manifest, seconds: dict[str, float]) -> Report:
    """Gather what report.html says."""
    return Report(
        title=curated.out.name,
        listing=curated.listing.uri,
        num_rows=len(curated.catalog.rows),
        num_clips=len(curated.catalog.clips),
        verdicts=manifest.verdicts,
        details=_failures(curated),
        num_pairs_measured=curated.num_pairs,
        num_pairs_in_range=curated.num_in_range,
        num_pairs_kept=curated.num_kept,
        motion_range_px=(curated.config.min_motion, curated.config.max_motion),
        motion_histogram=_motion_histogram(curated.parts),
        first_bin=bin_edges(curated.config)[0],
        flatness=curated.flatness,
        splits=tuple(
            SplitSummary(
                name=name,
                num_clips=entry.num_clips,
                num_samples=entry.num_samples,
                num_shards=len(entry.shards),
                num_bytes=sum(shard.num_bytes for shard in entry.shards),
                in_range_histogram=curated.selections[name].in_range_histogram,
                kept_histogram=curated.selections[name].kept_histogram,
            )
            for name, entry in manifest.splits.items()
        ),
        pairs=_shown_pairs(curated.out, manifest),
        stages=tuple(seconds.items()),
        config=manifest.config,
        software=manifest.software,
    )


def _failures(curated: Curated) -> tuple[tuple[str, str, str], ...]:
    """(verdict, uri, reason) of the first clips that came to nothing, by verdict."""
    accounts, clips = curated.accounts, curated.catalog.clips
    return tuple(
        (accounts.verdict(number).value, clips.uri(number), accounts.detail(number) or "")
        for number in accounts.failed(_SHOWN_FAILURES)
    )


def _motion_histogram(parts: tuple[Location, ...]) -> tuple[int, ...]:
    """All measured pairs by whole pixels of motion; the last bin holds the rest."""
    counts = np.zeros(_HISTOGRAM_END_PX + 1, dtype=np.int64)
    for _, (_, motion_px) in read_parts_abreast(parts, lambda path: read_part_columns(path, "motion_px")):
        whole_px = motion_px.astype(np.int64)
        counts += np.bincount(np.minimum(whole_px, _HISTOGRAM_END_PX), minlength=len(counts))
    return tuple(counts.tolist())


def _shown_pairs(out: Location, manifest: Manifest) -> tuple[ShownPair, ...]:
    """Pick some pairs of the first shard, one a clip, spread over the range of motion."""
    first = next(((split, entry.shards[0]) for split, entry in manifest.splits.items() if entry.shards), None)
    if first is None:
        return ()
    by_clip: dict[str, Sample] = {}
    for sample in read_shard(out / first[0] / first[1].name):
        by_clip.setdefault(sample.record.clip_key, sample)
    samples = sorted(by_clip.values(), key=lambda sample: (sample.record.motion_px, sample.record.key))
    if len(samples) > _SHOWN_PAIRS:
        samples = [samples[k] for k in np.linspace(0, len(samples) - 1, _SHOWN_PAIRS).round().astype(int)]
    return tuple(
        ShownPair(
            key=sample.record.key,
            caption=sample.record.caption,
            split=sample.record.split,
            motion_px=sample.record.motion_px,
            gap_ms=sample.record.gap_ms,
            source=sample.source,
            target=sample.target,
            mime=IMAGE_MIME[sample.image_format],
        )
        for sample in samples
    )
