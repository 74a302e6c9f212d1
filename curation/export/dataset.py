"""Read a finished data set back, to check it or to make another one from it."""

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.config import CurationConfig
from curation.export.completed_shards import is_intact, receipt_path
from curation.flow.table import count_rows
from curation.listing.catalog import Catalog, Row, make_catalog, parse_rows
from curation.options import RunOptions
from curation.run.workspace import PART_NAME, Workspace
from shards.errors import DatasetError
from shards.files import find_changed, find_missing_or_resized
from shards.interface.credentials import REDACTED
from shards.manifest import Manifest, check_digest, read_manifest
from shards.schema import CLIPS, CLIPS_SCHEMA, FLOW, MANIFEST, REPORT, SPLITS, Verdict
from shards.storage.location import Location, for_arrow, list_files, on_disk
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
        return str(error)
    return None if num_rows == num_pairs else f"{FLOW}/ has {num_rows:,} pairs of {num_pairs:,}"


def rebuild_catalog(dataset: FinishedDataset, options: RunOptions, config: CurationConfig) -> Catalog:
    """Rebuild the catalog of a data set's listing: the same rows, with GIF locations from the `options`.

    Splits from official lists stay, unless the options name other lists. Other splits are drawn again by the config:
    the same seed and fraction give the same splits. Raises ListingError.
    """
    rows = _reread_listing(dataset, options) or _listed_rows(dataset.clips)
    catalog = make_catalog(rows, dataset.manifest.listing.sha256, options, config)
    lists = dataset.manifest.config.get("split_lists") or {}
    if options.splits or not lists:
        return catalog
    own = dataset.own_clips
    splits = np.empty(len(catalog.clips), dtype=np.int8)
    splits[catalog.clips.find_numbers(own["clip_key"].to_pylist())] = list(map(SPLITS.index, own["split"].to_pylist()))
    return dataclasses.replace(catalog, clips=catalog.clips.with_splits(splits), split_lists=lists)


def _listed_rows(clips: pa.Table) -> Iterator[Row]:
    for batch in clips.select(["uri", "caption", "clip_key"]).to_batches(max_chunksize=_ROWS_PER_BATCH):
        for row in batch.to_pylist():
            yield Row(**row)


def _reread_listing(dataset: FinishedDataset, options: RunOptions) -> Iterable[Row] | None:
    """Return the rows of the listing itself if the clip table lacks credentials and the listing is still there."""
    is_redacted = pc.any(pc.match_substring(dataset.clips["uri"], REDACTED)).as_py()
    if not is_redacted or not isinstance(options.listing, Path) or not options.listing.is_file():
        return None
    data = options.listing.read_bytes()
    if hashlib.sha256(data).hexdigest() != dataset.manifest.listing.sha256:
        return None
    return parse_rows(options.listing, data)


def find_sources(dataset: FinishedDataset, gifs: Path | None) -> dict[str, Any]:
    """Return the options `listing` and `gifs` of the run that made a data set; `gifs` overrides the recorded folder."""
    listing = dataset.manifest.listing
    if gifs is None and listing.gifs is not None:
        gifs = Path(_resolve_from_out(dataset.out, listing.gifs))
    # Early data sets have no folder; then only URLs and absolute paths in the listing work.
    folder = _resolve_from_out(dataset.out, listing.folder or ".")
    return {"listing": f"{folder}/{listing.uri}", "gifs": gifs}


def _resolve_from_out(out: Location, recorded: str) -> str:
    if "://" in recorded or not isinstance(out, Path):
        return recorded.removeprefix("file://")
    return os.path.normpath(out / recorded)
