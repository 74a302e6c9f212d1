"""Results of all stages -> clips.parquet, report.html, the dataset card README.md and, last, dataset.json."""

import collections
import dataclasses
import os
import re
import urllib.parse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.config import CurationConfig
from curation.export.clip_verdicts import ClipVerdicts, clips_schema, make_clip_rows
from curation.export.dataset_card import write_card
from curation.inspection.report.gather import Sources, gather_report
from curation.inspection.report.page import render_report
from curation.listing.catalog import Catalog
from curation.options import RunOptions
from curation.run.progress import StageTime
from curation.run.quarantine import QUARANTINE, list_incidents
from curation.run.saved_options import RETRIED
from curation.run.versions import software_versions
from curation.selection.flatten import compute_flatness
from curation.selection.pair_counts import compute_bin_edges
from curation.selection.pairs import Selection
from shards.files import describe_file, describe_files
from shards.manifest import ListingEntry, Manifest, MotionHistogram, ShardEntry, SplitEntry, write_manifest
from shards.schema import CARD, CLIPS, CLIPS_SCHEMA, REPORT, Verdict
from shards.storage.atomic import write_atomically
from shards.storage.location import Location


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curated:
    """Results of all stages."""

    out: Location
    listing: ListingEntry
    catalog: Catalog
    config: CurationConfig
    parameters: dict[str, Any]
    """The config, and everything else besides the listing and the software that can change a byte."""
    verdicts: ClipVerdicts
    selections: dict[str, Selection]
    shards: dict[str, tuple[ShardEntry, ...]]
    parts: tuple[Location, ...]

    @property
    def num_pairs(self) -> int:
        """Pairs in the flow table."""
        return int(self.verdicts.num_pairs.sum())

    @property
    def num_in_range(self) -> int:
        """Pairs in the motion range, of usable clips."""
        return int(self.verdicts.num_in_range.sum())

    @property
    def num_kept(self) -> int:
        """Pairs written to shards."""
        return int(self.verdicts.num_kept.sum())

    @property
    def num_across_cut(self) -> int:
        """Kept pairs with a scene cut between them."""
        return sum(pc.sum(selection.pairs["across_cut"]).as_py() or 0 for selection in self.selections.values())

    @property
    def flatness(self) -> float | None:
        """Entropy of the histogram of kept motion over all splits, as a fraction of its maximum; None without pairs."""
        return compute_flatness(
            np.array([selection.kept_histogram for selection in self.selections.values()]).sum(axis=0)
        )


def describe_listing(options: RunOptions, catalog: Catalog) -> ListingEntry:
    """Return the listing's entry in the manifest, with folders relative to OUT, for resplit."""
    folder = str(options.listing).rpartition("/")[0]
    if "://" in folder:
        # Remove user names, passwords and signatures.
        folder = urllib.parse.urlsplit(folder)._replace(query="", fragment="").geturl()
        folder = re.sub(r"://[^/@]*@", "://", folder)
    else:
        folder = _relative_to_out(options.out, folder or "/")
    return ListingEntry(
        uri=options.listing_name,
        sha256=catalog.sha256,
        num_rows=len(catalog.rows),
        folder=folder,
        gifs=_describe_gifs(options),
    )


def _describe_gifs(options: RunOptions) -> str | None:
    if options.gifs is None or "://" in str(options.gifs):
        return str(options.gifs) if options.gifs else None
    return _relative_to_out(options.out, options.gifs)


def _relative_to_out(out: Location, folder: Path | str) -> str:
    """Return a local folder as a path from OUT, so that both can be moved; as a file:// URL if OUT is in a store."""
    return os.path.relpath(folder, out) if isinstance(out, Path) else f"file://{folder}"


def finish_dataset(curated: Curated, stages: tuple[StageTime, ...]) -> Manifest:
    """Write the clip table, the report, the dataset card and, last, the manifest.

    Raises RuntimeError if a row has no verdict or a kept pair was not written: a bug, not bad data.
    """
    verdicts, clips = _write_clips(curated)
    if sum(verdicts.values()) != len(curated.catalog.rows):
        raise RuntimeError(f"{len(curated.catalog.rows)} rows in the listing, verdicts {verdicts}")
    manifest = Manifest(
        listing=curated.listing,
        config=curated.parameters,
        software=software_versions(curated.verdicts.probed.formats),
        verdicts=verdicts,
        splits={split: _split_entry(curated, split) for split in curated.shards},
    )
    sources = Sources(
        out=curated.out,
        config=curated.config,
        clips=clips,
        parts=curated.parts,
        kept={split: selection.pairs for split, selection in curated.selections.items()},
        in_range_histograms={split: selection.in_range_histogram for split, selection in curated.selections.items()},
        flatness=curated.flatness,
        quarantined=list_incidents(curated.out / QUARANTINE),
        stages=stages,
    )
    report = render_report(gather_report(sources, manifest))
    with write_atomically(curated.out / REPORT) as temporary:
        temporary.write_text(report, encoding="utf-8", errors="backslashreplace")
    manifest = dataclasses.replace(manifest, files=describe_files(curated.out, REPORT))
    if write_card(curated.out, manifest):
        card = describe_file(curated.out / CARD)
        manifest = dataclasses.replace(manifest, files={**manifest.files, CARD: card})
    write_manifest(curated.out, manifest)
    return manifest


def _write_clips(curated: Curated) -> tuple[dict[str, int], pa.Table]:
    """Write clips.parquet in batches, so that the whole table is never in memory.

    Returns the number of rows by verdict, including zeros, in the order of `Verdict`, and the rows reduced to what the
    report shows.
    """
    counts: collections.Counter[str] = collections.Counter()
    originals = pa.array({duplicate.original for duplicate in curated.verdicts.duplicates.values()}, pa.string())
    reduced = []
    with (
        write_atomically(curated.out / CLIPS) as temporary,
        pa.OSFile(os.fsencode(temporary), "wb") as sink,
        pq.ParquetWriter(sink, clips_schema(curated.catalog), compression="zstd", write_page_checksum=True) as file,
    ):
        for batch in make_clip_rows(curated.verdicts):
            counts.update(batch["verdict"].to_pylist())
            # One row group a batch. The writer and every reader hold a whole row group in memory.
            file.write_table(pa.Table.from_batches([batch]))
            reduced.append(_reduce_for_report(batch, originals))
    return {verdict.value: counts[verdict.value] for verdict in Verdict}, pa.Table.from_batches(reduced)


def _reduce_for_report(clips: pa.RecordBatch, originals: pa.Array) -> pa.RecordBatch:
    """Remove what the report does not show, nearly all of a long listing.

    Captions and hashes are dropped. uri, clip_key and detail become null for kept and merged rows, except for the
    originals of duplicates.
    """
    is_kept = pc.is_in(clips["verdict"], value_set=pa.array([Verdict.KEPT.value, Verdict.MERGED.value]))
    is_shown = pc.or_(pc.invert(is_kept), pc.is_in(clips["clip_key"], value_set=originals))

    def blank(names: pa.Array) -> pa.Array:
        # The result of if_else keeps the memory of the removed strings; encoding and decoding frees it.
        return pc.if_else(is_shown, names, None).dictionary_encode().dictionary_decode()

    return pa.record_batch(
        {
            name: blank(clips[name]) if name in ("uri", "clip_key", "detail") else clips[name]
            for name in CLIPS_SCHEMA.names
            if name not in ("caption", "sha256")
        }
    )


def _split_entry(curated: Curated, split: str) -> SplitEntry:
    selection, shards = curated.selections[split], curated.shards[split]
    num_written = sum(shard.num_samples for shard in shards)
    if num_written != selection.pairs.num_rows:
        raise RuntimeError(f"{selection.pairs.num_rows} pairs of {split} are selected, {num_written} were written")
    return SplitEntry(
        num_samples=num_written,
        num_clips=int((selection.num_kept > 0).sum()),
        motion_histogram=MotionHistogram(bin_edges=compute_bin_edges(curated.config), counts=selection.kept_histogram),
        shards=shards,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """Result of a finished run."""

    curated: Curated
    manifest: Manifest
    num_reused: int
    """Clips that were measured before this run."""
    num_outdated: int
    """Clips whose earlier measurement is of another method."""
    num_pairs_measured: int
    """Pairs measured in this run."""
    seconds: dict[str, float]
    """Wall time by stage."""

    def __str__(self) -> str:
        """Format for a terminal."""
        curated, catalog = self.curated, self.curated.catalog
        lines = [f"{len(catalog.rows):,} rows, {len(catalog.clips):,} clips"]
        lines += [f"  {name:17}{count:>10,}" for name, count in self.manifest.verdicts.items() if count]
        if num_retried := sum(self.manifest.verdicts.get(verdict, 0) for verdict in RETRIED):
            rows = "row" if num_retried == 1 else "rows"
            lines.append(f"  {num_retried:,} {rows} can be retried: pix2gif retry {curated.out}")
        if catalog.num_unlisted:
            lines.append(f"  {catalog.num_unlisted:,} clips are in no split list and were assigned to train")
        flat = f", histogram {curated.flatness:.1%} of flat" if curated.flatness is not None else ""
        pairs = f"{curated.num_pairs:,} pairs, {curated.num_in_range:,} in range, {curated.num_kept:,} kept"
        lines.append(pairs + flat)
        if curated.num_across_cut:
            lines.append(f"  {curated.num_across_cut:,} kept across a scene cut; --drop-cuts drops such pairs")
        if self.num_reused:
            lines.append(f"  {self.num_reused:,} clips were reused from an earlier measurement")
        if self.num_outdated:
            lines.append(
                f"  {self.num_outdated:,} clips had been measured at another resolution or by another version and "
                "were measured again"
            )
        for split, entry in self.manifest.splits.items():
            shards = f"{len(entry.shards):,} {'shard' if len(entry.shards) == 1 else 'shards'}"
            clips = f"{entry.num_clips:,} {'clip' if entry.num_clips == 1 else 'clips'}"
            lines.append(f"  {split:17}{entry.num_samples:>10,} samples of {clips} in {shards}")
        lines.append(self._times())
        lines.append(f"The data set is in {curated.out}; look at {curated.out / REPORT} first.")
        return "\n".join(lines)

    def _times(self) -> str:
        by_stage = ", ".join(f"{name} {s:.1f}" for name, s in self.seconds.items() if s >= 0.05)
        text = f"{sum(self.seconds.values()):.1f} s: {by_stage}"
        measuring = self.seconds.get("measure", 0.0)
        if self.num_pairs_measured and measuring:
            text += f"; {self.num_pairs_measured / measuring:,.0f} pairs/s while measuring"
        return text
