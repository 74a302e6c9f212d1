"""Listing and split lists -> catalog: rows, clips, splits.

A TGIF listing has one `uri TAB caption` a line, without header or quoting. Rows with the same uri become one clip with
all their captions.
"""

import array
import dataclasses
import functools
import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.batches import in_batches
from curation.config import CurationConfig
from curation.errors import ListingError
from curation.listing.clips import ROWS_SCHEMA, Clips
from curation.options import RunOptions
from shards.schema import SPLITS
from shards.seeded_hash import uniform
from shards.storage.location import path_of_file_url

_ROWS_PER_BATCH = 16_384
MAX_TEXT_BYTES = 2**16
"""Of the uri or the caption of a row."""
MAX_CAPTIONS_BYTES = 2**19
"""Of all captions of a clip: every record of the clip holds them."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the listing."""

    uri: str
    caption: str
    clip_key: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Catalog:
    """The rows and clips of a listing."""

    sha256: str
    """SHA-256 of the listing's bytes."""
    rows: pa.Table
    """ROWS_SCHEMA."""
    clips: Clips
    split_lists: dict[str, str]
    """SHA-256 of each official list that was used, by file name."""
    num_unlisted: int
    """Clips in none of the official lists; they are assigned to train."""


def read_catalog(data: bytes, options: RunOptions, config: CurationConfig) -> Catalog:
    """Parse the bytes of the listing and read the official split lists, if any. Raises ListingError."""
    return make_catalog(parse_rows(options.listing, data), hashlib.sha256(data).hexdigest(), options, config)


def make_catalog(rows: Iterable[Row], sha256: str, options: RunOptions, config: CurationConfig) -> Catalog:
    """Merge the rows of a listing into clips, each with a split and a location. Raises ListingError."""
    official, split_lists = _read_split_lists(options.splits) if options.splits else ({}, {})
    if options.gifs and not options.gifs.is_dir():
        raise ListingError(f"--gifs {options.gifs} is not a folder")
    numbers: dict[str, int] = {}
    table = pa.Table.from_batches(_number_rows(rows, numbers), ROWS_SCHEMA).combine_chunks()
    locate = functools.partial(_locate, options=options)
    folder = os.path.realpath(options.gifs) if options.gifs else None
    clips = Clips(table, numbers, np.zeros(len(numbers), dtype=np.int8), locate, folder)
    _check_unique_keys(clips, table)
    _check_captions(clips, table)
    pa.default_memory_pool().release_unused()  # Otherwise the parsed rows would stay allocated for the whole run.
    splits, num_unlisted = array.array("b"), 0
    for number, key in enumerate(clips):
        uri = clips.uri(number) if options.splits else ""
        listed = official.get(uri) or official.get(_file_name(uri))
        num_unlisted += options.splits is not None and listed is None
        splits.append(SPLITS.index((listed or "train") if options.splits else _seeded_split(key, config)))
    return Catalog(
        sha256=sha256,
        rows=table,
        clips=clips.with_splits(np.array(splits, dtype=np.int8)),
        split_lists=split_lists,
        num_unlisted=num_unlisted,
    )


def _number_rows(rows: Iterable[Row], numbers: dict[str, int]) -> Iterator[pa.RecordBatch]:
    """Yield rows in batches (ROWS_SCHEMA). Adds the number of each new clip to `numbers`, by key."""
    for batch in in_batches(rows, _ROWS_PER_BATCH):
        columns = zip(
            *((row.uri, row.caption, numbers.setdefault(row.clip_key, len(numbers))) for row in batch), strict=True
        )
        yield pa.record_batch(list(map(list, columns)), schema=ROWS_SCHEMA)


def _check_unique_keys(clips: Clips, rows: pa.Table) -> None:
    """Raise ListingError if two uris have the same key."""
    firsts = rows["uri"].take(pa.array(clips.first_rows - 1))
    for batch in rows.to_batches(max_chunksize=_ROWS_PER_BATCH):
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


def clip_key(uri: str) -> str:
    """Return the key of a clip: a slug of its file name and a hash of its uri, `[a-z0-9_-]+`."""
    stem = _file_name(uri).rpartition(".")[0] or _file_name(uri)
    slug = re.sub(r"[^a-z0-9_]+", "-", stem.lower()).strip("-")[:40]
    return f"{slug or 'clip'}-{hashlib.sha256(uri.encode()).hexdigest()[:16]}"


def read_table(path: Path, what: str) -> bytes:
    """Return the bytes of a listing or a split list. Raises ListingError; `what` names the file in its message."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ListingError(f"there is no {what} {path}") from None
    except IsADirectoryError:
        raise ListingError(f"the {what} {path} is a folder; a file was expected") from None
    except OSError as error:
        raise ListingError(f"cannot read the {what} {path}: {error.strerror}") from error


def parse_rows(path: Path | str, data: bytes) -> Iterator[Row]:
    """Yield the rows of a listing; `path` names it in errors. Raises ListingError."""
    is_empty = True
    for number, line in enumerate(_decode_lines(path, data), 1):
        if not line.strip():
            continue
        uri, tab, caption = line.partition("\t")
        if not tab:
            raise ListingError(f"{path}, line {number}: no TAB between the path or url and the caption: {line[:80]!r}")
        if not uri.strip():
            raise ListingError(f"{path}, line {number}: no path or url before the TAB")
        for name, text in (("path or url", uri), ("caption", caption)):
            if len(text.encode()) > MAX_TEXT_BYTES:
                raise ListingError(
                    f"{path}, line {number}: the {name} has more than {MAX_TEXT_BYTES:,} bytes; shorten it"
                )
        yield Row(uri=uri, caption=caption, clip_key=clip_key(uri))
        is_empty = False
    if is_empty:
        raise ListingError(f"the listing {path} is empty; write one line a clip: a path or url, a TAB, a caption")


def _decode_lines(path: Path | str, data: bytes) -> Iterator[str]:
    for number, line in enumerate(io.BytesIO(data.removeprefix(b"\xef\xbb\xbf")), 1):
        try:
            yield line.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise ListingError(f"{path}, line {number}: not UTF-8 text; save the file as UTF-8") from None


def _read_split_lists(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return ({uri or file name: split}, {list: SHA-256}). On conflict, test wins over val, and val over train."""
    if not folder.is_dir():
        raise ListingError(f"--splits {folder} is not a folder")
    members: dict[str, str] = {}
    hashes = {}
    for split in SPLITS:
        path = folder / f"{split}.txt"
        if not path.exists():
            continue
        data = read_table(path, "split list")
        hashes[path.name] = hashlib.sha256(data).hexdigest()
        for line in _decode_lines(path, data):
            if uri := line.strip():
                members[uri] = members[_file_name(uri)] = split
    if not hashes:
        raise ListingError(f"--splits {folder} holds none of {', '.join(f'{name}.txt' for name in SPLITS)}")
    return members, hashes


def _seeded_split(key: str, config: CurationConfig) -> str:
    """Return a split that depends on the key and the seed only, so that it stays when the listing grows."""
    return "val" if uniform(config.seed, "split", key) < config.val_fraction else "train"


def _file_name(uri: str) -> str:
    """Return the last part of a path, or of a url's path. Works on invalid urls too, which a listing may contain."""
    if "://" in uri:
        uri = re.split(r"[?#]", uri.partition("://")[2], maxsplit=1)[0]
    return uri.rpartition("/")[2]


def _name_in_folder(uri: str) -> str:
    """Return the name of a uri's file in the folder of --gifs: one path component, which may be `..`.

    A url's name is percent-decoded once, unless a separator would come out of it.
    """
    name = _file_name(uri)
    decoded = unquote(name) if "://" in uri else name
    return name if {"/", "\0"} & set(decoded) else decoded


def _locate(uri: str, options: RunOptions) -> str:
    """Return the path or URL of a uri's bytes, without checking that they exist."""
    if options.gifs:
        return str(options.gifs / _name_in_folder(uri))
    if not isinstance(options.listing, Path):
        # A remote listing must not read local files, so every location gets a scheme.
        folder = re.split(r"[?#]", options.listing)[0].rpartition("/")[0]
        return uri if "://" in uri else f"{folder}/{uri}"
    if path := path_of_file_url(uri):
        return path
    return uri if "://" in uri else str(options.listing.parent / uri)
