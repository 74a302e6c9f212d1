"""Listing and split lists -> catalog: rows, clips, splits. Rows with the same uri become one clip with all captions."""

import array
import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.archives.location import is_reserved, unreadable
from curation.config import CurationConfig
from curation.errors import ListingError
from curation.listing.clips import ROWS_SCHEMA, Clips
from curation.listing.forms.tgif import parse_tgif
from curation.listing.gif_files import GifFiles
from curation.listing.listed import FILE_COLUMN, ROWS_PER_BATCH, Listing
from curation.listing.names import base_folder, clip_key, file_name
from curation.listing.split_lists import read_split_lists
from curation.options import RunOptions
from shards.schema import SPLITS
from shards.seeded_hash import uniform
from shards.storage.location import path_of_file_url

MAX_CAPTIONS_BYTES = 2**19
"""Of all captions of a clip: every record of the clip holds them."""
_OWN_COLUMNS = ("uri", "caption", "clip_key", "place", FILE_COLUMN)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Catalog:
    """The rows and clips of a listing."""

    sha256: str
    """Identifies the listing; of its bytes, if it is one file of text or of a table."""
    rows: pa.Table
    """ROWS_SCHEMA, and the columns to keep."""
    clips: Clips
    split_lists: dict[str, str]
    """SHA-256 of each official list that was used, by file name."""
    num_unlisted: int
    """Clips in none of the official lists; they are assigned to train."""
    notes: tuple[str, ...] = ()
    """What was recognised and searched, for the user."""


def read_catalog(listing: Listing | bytes, options: RunOptions, config: CurationConfig) -> Catalog:
    """Read the rows of a listing, or of the bytes of one in TGIF's form, and the official split lists, if any.

    Raises ListingError.
    """
    if isinstance(listing, bytes):
        listing = Listing(sha256=hashlib.sha256(listing).hexdigest(), batches=parse_tgif(options.listing, listing))
    return make_catalog(listing, options, config)


def make_catalog(listing: Listing, options: RunOptions, config: CurationConfig) -> Catalog:
    """Merge the rows of a listing into clips, each with a split and a location. Raises ListingError."""
    official, split_lists = read_split_lists(options.splits) if options.splits else ({}, {})
    if options.gifs and listing.holds_gifs:
        raise ListingError(f"--gifs is {options.gifs}, but the listing {options.listing} holds the GIFs; leave it out")
    files = GifFiles(options.gifs, config.gifs_by) if options.gifs else None
    numbers: dict[str, int] = {}
    table = pa.Table.from_batches(_number_rows(_first_rows(listing.batches, config.limit), numbers)).combine_chunks()
    clips = _make_clips(table, numbers, listing, files, options)
    table = table.drop_columns([name for name in ("place", FILE_COLUMN) if name in table.column_names])
    _check_unique_keys(clips, table)
    _check_captions(clips, table)
    pa.default_memory_pool().release_unused()  # Otherwise the parsed rows would stay allocated for the whole run.
    splits, num_unlisted = array.array("b"), 0
    for number, key in enumerate(clips):
        uri = clips.uri(number) if options.splits else ""
        listed = official.get(uri) or official.get(file_name(uri))
        num_unlisted += options.splits is not None and listed is None
        splits.append(SPLITS.index((listed or "train") if options.splits else _seeded_split(key, config)))
    return Catalog(
        sha256=listing.sha256,
        rows=table,
        clips=clips.with_splits(np.array(splits, dtype=np.int8)),
        split_lists=split_lists,
        num_unlisted=num_unlisted,
        notes=(*listing.notes, *(files.notes if files else ()), *_note_captions(table)),
    )


def _first_rows(batches: Iterable[pa.RecordBatch], limit: int | None) -> Iterator[pa.RecordBatch]:
    """Yield the first rows of a listing; with None, all."""
    for batch in batches:
        yield batch if limit is None else batch[:limit]
        limit = None if limit is None else limit - len(batch)
        if limit is not None and limit <= 0:
            return


def _number_rows(batches: Iterable[pa.RecordBatch], numbers: dict[str, int]) -> Iterator[pa.RecordBatch]:
    """Yield batches with the columns of ROWS_SCHEMA first. Adds the number of each new clip to `numbers`, by key."""
    for batch in batches:
        names = batch.schema.names
        keys = batch["clip_key"].to_pylist() if "clip_key" in names else map(clip_key, batch["uri"].to_pylist())
        clips = [numbers.setdefault(key, len(numbers)) for key in keys]
        others = [name for name in names if name not in ("uri", "caption", "clip_key")]
        yield pa.record_batch(
            [batch["uri"], batch["caption"], pa.array(clips, pa.int32()), *(batch[name] for name in others)],
            schema=pa.schema([*ROWS_SCHEMA, *(batch.schema.field(name) for name in others)]),
        )


def _make_clips(
    table: pa.Table, numbers: dict[str, int], listing: Listing, files: GifFiles | None, options: RunOptions
) -> Clips:
    """Make the clips of a table of rows, all in the first split."""
    base = listing.base or base_folder(options.listing)
    locate: Callable[[str], str] = functools.partial(_locate, base=base)
    folder = os.path.realpath(listing.folder) if listing.folder else None
    archives = listing.archives
    if files is not None:
        locate, folder, archives = files.locate, files.folder, files.archives
    clips = Clips(table, numbers, np.zeros(len(numbers), dtype=np.int8), locate, folder)
    firsts = pa.array(clips.first_rows - 1)
    places = table["place"].take(firsts).combine_chunks() if "place" in table.column_names else None
    if files is not None:
        named = table[FILE_COLUMN].take(firsts) if FILE_COLUMN in table.column_names else None
        places = files.place(table["uri"].take(firsts), named)
    return clips if places is None else clips.with_places(places, archives)


def _note_captions(rows: pa.Table) -> Iterator[str]:
    num_empty = pc.sum(pc.equal(pc.binary_length(rows["caption"]), 0)).as_py()
    if num_empty:
        yield f"{num_empty:,} of {len(rows):,} rows have no caption"


def _check_unique_keys(clips: Clips, rows: pa.Table) -> None:
    """Raise ListingError if two uris have the same key."""
    firsts = rows["uri"].take(pa.array(clips.first_rows - 1))
    for batch in rows.to_batches(max_chunksize=ROWS_PER_BATCH):
        expected = firsts.take(batch["clip"])
        if (row := pc.index(pc.equal(expected, batch["uri"]), False).as_py()) >= 0:
            uri, first = batch["uri"][row].as_py(), expected[row].as_py()
            raise ListingError(f"{uri} and {first} have the same key; rename one of them")


def _check_captions(clips: Clips, rows: pa.Table) -> None:
    """Raise ListingError if the captions of a clip are too long together."""
    num_bytes = np.bincount(rows["clip"].to_numpy(), pc.binary_length(rows["caption"]).to_numpy(), len(clips))
    longest = int(num_bytes.argmax())
    if num_bytes[longest] > MAX_CAPTIONS_BYTES:
        raise ListingError(
            f"the captions of {clips.uri(longest)[:200]} have {int(num_bytes[longest]):,} bytes, more than "
            f"{MAX_CAPTIONS_BYTES:,}; give it fewer or shorter ones"
        )


def _seeded_split(key: str, config: CurationConfig) -> str:
    """Return a split that depends on the key and the seed only, so that it stays when the listing grows."""
    return "val" if uniform(config.seed, "split", key) < config.val_fraction else "train"


def _locate(uri: str, *, base: str) -> str:
    """Return the path or URL of a uri's bytes, without checking that they exist."""
    if "://" in uri and is_reserved(uri):
        return unreadable(f"{uri.partition(':')[0]}: is no scheme of a URL")
    if "://" in base:
        # A remote listing must not read local files, so every location gets a scheme.
        return uri if "://" in uri else f"{base}/{uri}"
    if path := path_of_file_url(uri):
        return path
    return uri if "://" in uri else str(Path(base) / uri)
