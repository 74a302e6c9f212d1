"""A finished data set, read back: what it was made with and what became of each clip, to make another one of it."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.config import CurationConfig
from curation.listing.catalog import Catalog, Row, make_catalog
from curation.options import RunOptions
from shards.errors import DatasetError
from shards.location import Location, for_arrow, list_files
from shards.manifest import Manifest, read_manifest
from shards.schema import CLIPS, CLIPS_SCHEMA, FLOW, SPLITS, Verdict, add_missing_columns

_ROWS_AT_A_TIME = 65_536

MEASURED = (Verdict.KEPT, Verdict.NO_PAIR_IN_RANGE)
"""Verdicts of clips whose pairs can be selected from, whatever the thresholds."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinishedDataset:
    """OUT of a run that ended."""

    out: Location
    manifest: Manifest
    clips: pa.Table
    """CLIPS_SCHEMA: one row for every row of the listing."""

    @property
    def parts(self) -> tuple[Location, ...]:
        """The parts of its flow table. Raises DatasetError where there is none but should be."""
        paths = tuple(list_files(self.out / FLOW, "part-*.parquet"))
        if not paths and any(self.clips["num_pairs"].to_pylist()):
            raise DatasetError(f"{self.out / FLOW}: no part of a flow table, though pairs were measured; copy it there")
        return paths

    @property
    def own_clips(self) -> pa.Table:
        """The rows of `clips` that stand for a clip, not for a further row of one."""
        return self.clips.filter(pa.compute.not_equal(self.clips["verdict"], Verdict.MERGED.value))

    def config(self, given: Mapping[str, Any]) -> CurationConfig:
        """Take the data set's own config with what is given instead. Raises ConfigError for what cannot be."""
        known = {field.name for field in dataclasses.fields(CurationConfig)}
        kept = {name: value for name, value in self.manifest.config.items() if name in known}
        return CurationConfig(**{**kept, **given})


def read_finished(out: Location) -> FinishedDataset:
    """Read OUT. Raises DatasetError where it is no finished data set or a file of it is damaged."""
    manifest = read_manifest(out)
    path = out / CLIPS
    try:
        clips = add_missing_columns(pq.read_table(for_arrow(path)), CLIPS_SCHEMA)
        clips = clips.select(CLIPS_SCHEMA.names).cast(CLIPS_SCHEMA)
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from error
    return FinishedDataset(out=out.absolute(), manifest=manifest, clips=clips)


def catalog_of(dataset: FinishedDataset, options: RunOptions, config: CurationConfig) -> Catalog:
    """Rebuild the catalogue of a data set's listing: the same rows, and where its GIFs are by `options`.

    Splits stay as they are where official lists made them, unless the options name others; else they are drawn by the
    config, which is the same again where seed and share are. Raises ListingError.
    """
    catalog = make_catalog(_listed_rows(dataset.clips), dataset.manifest.listing.sha256, options, config)
    lists = dataset.manifest.config.get("split_lists") or {}
    if options.splits or not lists:
        return catalog
    own = dataset.own_clips
    splits = np.empty(len(catalog.clips), dtype=np.int8)
    splits[catalog.clips.find_numbers(own["clip_key"].to_pylist())] = list(map(SPLITS.index, own["split"].to_pylist()))
    return dataclasses.replace(catalog, clips=catalog.clips.with_splits(splits), split_lists=lists)


def _listed_rows(clips: pa.Table) -> Iterator[Row]:
    for batch in clips.select(["uri", "caption", "clip_key"]).to_batches(max_chunksize=_ROWS_AT_A_TIME):
        for row in batch.to_pylist():
            yield Row(**row)


def places_of(dataset: FinishedDataset, gifs: Path | None) -> dict[str, Any]:
    """Tell where the listing and its GIFs were, as options of a run; `gifs` is where they are now, if that is known."""
    listing = dataset.manifest.listing
    if gifs is None and listing.gifs is not None:
        gifs = Path(_from_out(dataset.out, listing.gifs))
    # An early data set does not tell; then only urls and absolute paths lead anywhere.
    folder = _from_out(dataset.out, listing.folder or ".")
    return {"listing": f"{folder}/{listing.uri}", "gifs": gifs}


def _from_out(out: Location, place: str) -> str:
    if "://" in place or not isinstance(out, Path):
        return place.removeprefix("file://")
    return os.path.normpath(out / place)
