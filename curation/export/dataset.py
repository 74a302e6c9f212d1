"""Read a finished data set back, to check it or to make another one from it."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.config import CurationConfig
from curation.errors import ListingError
from curation.export.completed_shards import is_intact, receipt_path
from curation.fetch.read_listing import read_listing
from curation.flow.table import count_rows
from curation.listing.catalog import Catalog, make_catalog
from curation.listing.columns import file_column
from curation.listing.listed import Listing
from curation.listing.sources import list_files as list_listing
from curation.listing.sources import recognise
from curation.options import RunOptions
from curation.run.workspace import PART_NAME, Workspace
from shards.errors import DatasetError
from shards.files import find_changed, find_missing_or_resized
from shards.interface.credentials import REDACTED
from shards.manifest import Manifest, check_digest, read_manifest
from shards.schema import CLIPS, CLIPS_SCHEMA, FLOW, MANIFEST, REPORT, SPLITS, Verdict
from shards.storage.location import Location, for_arrow, list_files, on_disk
from shards.storage.object_stores import first_line, is_object
from shards.tables import read_table
from shards.writer import file_sha256

_ROWS_PER_BATCH = 65_536

MEASURED = (Verdict.KEPT, Verdict.NO_PAIR_IN_RANGE)
"""Verdicts of clips whose pairs can be selected from, whatever the thresholds."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinishedDataset:
    """A finished data set."""

    out: Location
    manifest: Manifest
    clips: pa.Table
    """CLIPS_SCHEMA: one row for every row of the listing."""

    @property
    def parts(self) -> tuple[Location, ...]:
        """The parts of its flow table. Raises DatasetError if pairs were measured but no part is there."""
        paths = tuple(list_files(self.out / FLOW, "part-*.parquet"))
        if not paths and any(self.clips["num_pairs"].to_pylist()):
            raise DatasetError(
                f"{self.out / FLOW}: the flow table that pairs were measured in is missing; copy it there"
            )
        return paths

    @property
    def own_clips(self) -> pa.Table:
        """The first row of every clip: `clips` without the merged rows."""
        return self.clips.filter(pa.compute.not_equal(self.clips["verdict"], Verdict.MERGED.value))

    def config(self, given: Mapping[str, Any]) -> CurationConfig:
        """Return the data set's config with some fields replaced. Raises ConfigError for an invalid value."""
        known = {field.name for field in dataclasses.fields(CurationConfig)}
        kept = {name: value for name, value in self.manifest.config.items() if name in known}
        return CurationConfig(**{**kept, **given})


def read_finished(out: Location) -> FinishedDataset:
    """Read a data set. Raises DatasetError if it is not finished, or if its manifest or clip table is damaged."""
    manifest = read_manifest(out)
    with on_disk(out / CLIPS) as file:
        clips = read_table(out / CLIPS, file, CLIPS_SCHEMA)
        if manifest.has_hashes and file_sha256(file) != manifest.files[CLIPS].sha256:
            raise DatasetError(
                f"{out / CLIPS}: its SHA-256 is not the manifest's; restore the file from a copy, or curate anew"
            )
    return FinishedDataset(out=out.absolute(), manifest=manifest, clips=clips)


def read_intact_manifest(workspace: Workspace) -> Manifest | None:
    """Return the manifest of OUT if the data set is finished and every file that it lists is intact, else None."""
    if not (workspace.out / MANIFEST).exists():
        return None
    try:
        manifest = read_manifest(workspace.out)
    except DatasetError:
        return None
    return manifest if find_damage(workspace, manifest) is None else None


def find_damage(workspace: Workspace, manifest: Manifest) -> str | None:
    """Return what is missing or damaged in a finished data set; None if every file is intact.

    Compares sizes first, then hashes every file, at the speed of the disk. In an object store the ETags of the shards
    are compared with the records of completed shards instead.
    """
    out = workspace.out
    if problem := find_missing_or_resized(out, manifest):
        return problem
    if not (out / REPORT).is_file():
        return f"{REPORT} is missing"
    shards = [
        (out / split / shard.name, shard.sha256, receipt_path(workspace.receipts, split, number))
        for split, entry in manifest.splits.items()
        for number, shard in enumerate(entry.shards)
    ]
    parts = [path for path in list_files(workspace.flow, "part-*") if PART_NAME.fullmatch(path.name)]
    try:
        if manifest.has_hashes:
            check_digest(out)
        num_pairs = pc.sum(pq.read_table(for_arrow(out / CLIPS), columns=["num_pairs"])["num_pairs"]).as_py() or 0
        with ThreadPoolExecutor() as threads:
            for (path, *_), intact in zip(shards, threads.map(lambda shard: is_intact(*shard), shards), strict=True):
                if not intact:
                    return f"{path.parent.name}/{path.name} is missing or damaged"
            num_rows = sum(threads.map(count_rows, parts))
        if problem := find_changed(out, manifest):
            return problem
    except FileNotFoundError:
        return f"{CLIPS} is missing"
    except (DatasetError, OSError, pa.ArrowException, KeyError) as error:
        return first_line(error)  # Arrow's are several lines.
    return None if num_rows == num_pairs else f"{FLOW}/ has {num_rows:,} pairs of {num_pairs:,}"


def rebuild_catalog(
    dataset: FinishedDataset, options: RunOptions, config: CurationConfig, *, reads_gifs: bool = True
) -> Catalog:
    """Rebuild the catalog of a data set's listing: the same rows, with GIF locations from the `options`.

    Splits from official lists stay, unless the options name other lists. Other splits are drawn again by the config:
    the same seed and fraction give the same splits. Where no GIF is read, archives are not opened. Raises ListingError.
    """
    listing = _reread_listing(dataset, options, config, reads_gifs) or Listing(
        sha256=dataset.manifest.listing.sha256, batches=_listed_rows(dataset, config)
    )
    catalog = make_catalog(listing, options, config)
    lists = dataset.manifest.config.get("split_lists") or {}
    if options.splits or not lists:
        return catalog
    own = dataset.own_clips
    splits = np.empty(len(catalog.clips), dtype=np.int8)
    splits[catalog.clips.find_numbers(own["clip_key"].to_pylist())] = list(map(SPLITS.index, own["split"].to_pylist()))
    return dataclasses.replace(catalog, clips=catalog.clips.with_splits(splits), split_lists=lists)


def _listed_rows(dataset: FinishedDataset, config: CurationConfig) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the listing as the clip table has them."""
    table = dataset.clips.select(["uri", "caption", "clip_key"])
    if config.keep_columns:
        kept = pq.read_table(for_arrow(dataset.out / CLIPS), columns=list(config.keep_columns))
        for name in kept.column_names:
            table = table.append_column(name, kept[name])
    return iter(table.combine_chunks().to_batches(max_chunksize=_ROWS_PER_BATCH))


def _reread_listing(
    dataset: FinishedDataset, options: RunOptions, config: CurationConfig, reads_gifs: bool
) -> Listing | None:
    """Return the listing itself, if the clip table does not say where the GIFs are and the listing is still there.

    The table lacks credentials, members of archives and the column that names files. Raises ListingError if the listing
    is another one by now.
    """
    is_redacted = (
        isinstance(options.listing, Path) and pc.any(pc.match_substring(dataset.clips["uri"], REDACTED)).as_py()
    )
    names_files = options.gifs is not None and file_column(config) is not None
    holds_gifs = reads_gifs and options.gifs is None and _may_hold_gifs(options.listing)
    if not (is_redacted or names_files or holds_gifs):
        return None
    try:
        listing = read_listing(options, config)
    except ListingError:
        return None
    is_same = listing.sha256 == dataset.manifest.listing.sha256
    if not is_same and not is_redacted:
        raise ListingError(
            f"the listing {options.listing} has changed since the data set was made; name the GIFs by --gifs"
        )
    return listing if is_same and (is_redacted or names_files or listing.holds_gifs) else None


def _may_hold_gifs(listing: Path | str) -> bool:
    """Return whether a listing that is there may hold the GIFs themselves."""
    if not isinstance(listing, Path) and not is_object(listing):
        return listing.partition("?")[0].lower().endswith((".tar", ".parquet"))
    try:
        files = list_listing(listing)
        return bool(files) and recognise(files[0], has_column_options=False).may_hold_gifs
    except ListingError:
        return False


def find_sources(dataset: FinishedDataset, gifs: Path | str | None) -> dict[str, Any]:
    """Return the options `listing` and `gifs` of the run that made a data set; `gifs` overrides the recorded ones."""
    listing = dataset.manifest.listing
    if gifs is None and listing.gifs is not None:
        gifs = _resolve_from_out(dataset.out, listing.gifs)
    # Early data sets have no folder; then only URLs and absolute paths in the listing work.
    folder = _resolve_from_out(dataset.out, listing.folder or ".")
    return {"listing": f"{folder}/{listing.uri}", "gifs": gifs}


def _resolve_from_out(out: Location, recorded: str) -> str:
    if "://" in recorded or not isinstance(out, Path):
        return recorded.removeprefix("file://")
    return os.path.normpath(out / recorded)
