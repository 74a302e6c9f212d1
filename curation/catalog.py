"""Listing and split lists -> clips.

In: a TGIF listing, `uri TAB caption` a line, no header, no quoting. Out: its rows, and its clips, several rows of one
uri merged into one clip that keeps all their captions.
"""

import dataclasses
import hashlib
import re
from pathlib import Path
from urllib.parse import unquote

from curation.config import CurationConfig, RunOptions
from curation.errors import ListingError
from curation.ranking import uniform
from shards.schema import SPLITS


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the listing, as listed."""

    uri: str
    caption: str
    clip_key: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """One GIF of the listing."""

    key: str
    uri: str
    location: str
    """Where its bytes are: an absolute path, or a URL. One from a listing that lies elsewhere is always a URL."""
    captions: tuple[str, ...]
    split: str
    row: int
    """The first row that names it, from 1."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Catalog:
    """A listing, read."""

    sha256: str
    """Of the listing's bytes."""
    rows: tuple[Row, ...]
    clips: dict[str, Clip]
    """By key, in the order of their first rows."""
    split_lists: dict[str, str]
    """Name of each official list that was used: the hash of its bytes."""
    num_unlisted: int
    """Clips that stand in none of the official lists, and went to train."""


def read_catalog(options: RunOptions, config: CurationConfig) -> Catalog:
    """Read the listing and, where given, the official split lists. Raises ListingError."""
    data = _read_listing(options)
    return make_catalog(_parse_rows(options.listing, data), hashlib.sha256(data).hexdigest(), options, config)


def make_catalog(rows: list[Row], sha256: str, options: RunOptions, config: CurationConfig) -> Catalog:
    """Merge a listing's rows into clips, and give each its split and its place. Raises ListingError."""
    official, split_lists = _read_split_lists(options.splits) if options.splits else ({}, {})
    if options.gifs and not options.gifs.is_dir():
        raise ListingError(f"--gifs {options.gifs} is not a folder")
    captions: dict[str, dict[str, None]] = {}
    for row in rows:
        captions.setdefault(row.clip_key, {})[row.caption] = None
    clips: dict[str, Clip] = {}
    num_unlisted = 0
    for number, row in enumerate(rows, 1):
        if row.clip_key in clips:
            if clips[row.clip_key].uri != row.uri:
                raise ListingError(f"{row.uri} and {clips[row.clip_key].uri} have one key; rename one of them")
            continue
        listed = official.get(row.uri) or official.get(_file_name(row.uri))
        num_unlisted += options.splits is not None and listed is None
        clips[row.clip_key] = Clip(
            key=row.clip_key,
            uri=row.uri,
            location=_locate(row.uri, options),
            captions=tuple(captions[row.clip_key]),
            split=(listed or "train") if options.splits else _seeded_split(row.clip_key, config),
            row=number,
        )
    return Catalog(
        sha256=sha256,
        rows=tuple(rows),
        clips=clips,
        split_lists=split_lists,
        num_unlisted=num_unlisted,
    )


def clip_key(uri: str) -> str:
    """Name a clip: its file name made plain, and a hash of its uri; `[a-z0-9_-]+`, the same in every run."""
    stem = _file_name(uri).rpartition(".")[0] or _file_name(uri)
    slug = re.sub(r"[^a-z0-9_]+", "-", stem.lower()).strip("-")[:40]
    return f"{slug or 'clip'}-{hashlib.sha256(uri.encode()).hexdigest()[:16]}"


def _read_listing(options: RunOptions) -> bytes:
    if isinstance(options.listing, Path):
        return _read_bytes(options.listing, "listing")
    # Imported here: it fetches clips, so it knows this module.
    from curation.fetch.listing import fetch_listing

    return fetch_listing(options.listing, options.fetch)


def _read_bytes(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ListingError(f"there is no {what} {path}") from None
    except IsADirectoryError:
        raise ListingError(f"the {what} {path} is a folder; a file was expected") from None
    except OSError as error:
        raise ListingError(f"cannot read the {what} {path}: {error.strerror}") from error


def _parse_rows(path: Path | str, data: bytes) -> list[Row]:
    rows: list[Row] = []
    keys: dict[str, str] = {}
    for number, line in enumerate(_decode_lines(path, data), 1):
        if not line.strip():
            continue
        uri, tab, caption = line.partition("\t")
        if not tab:
            raise ListingError(f"{path}, line {number}: no TAB between the path or url and the caption: {line[:80]!r}")
        if not uri.strip():
            raise ListingError(f"{path}, line {number}: no path or url before the TAB")
        key = keys.get(uri) or keys.setdefault(uri, clip_key(uri))
        rows.append(Row(uri=uri, caption=caption, clip_key=key))
    if not rows:
        raise ListingError(f"the listing {path} is empty; each line must be a path or url, a TAB, a caption")
    return rows


def _decode_lines(path: Path | str, data: bytes) -> list[str]:
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ListingError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from None
    return [line.removesuffix("\r") for line in text.split("\n")]


def _read_split_lists(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """({uri and file name: split}, {list: hash}). Where lists disagree, test wins over val, and val over train."""
    if not folder.is_dir():
        raise ListingError(f"--splits {folder} is not a folder")
    members: dict[str, str] = {}
    hashes = {}
    for split in SPLITS:
        path = folder / f"{split}.txt"
        if not path.exists():
            continue
        data = _read_bytes(path, "split list")
        hashes[path.name] = hashlib.sha256(data).hexdigest()
        for line in _decode_lines(path, data):
            if uri := line.strip():
                members[uri] = members[_file_name(uri)] = split
    if not hashes:
        raise ListingError(f"--splits {folder} holds none of {', '.join(f'{name}.txt' for name in SPLITS)}")
    return members, hashes


def _seeded_split(key: str, config: CurationConfig) -> str:
    """Draw a split for one clip alone, so that it stays there when the listing grows."""
    return "val" if uniform(config.seed, "split", key) < config.val_fraction else "train"


def _file_name(uri: str) -> str:
    """Take the last part of a path, or of a url's path; by hand, as a listing may hold urls that are none."""
    if "://" in uri:
        uri = re.split(r"[?#]", uri.partition("://")[2], maxsplit=1)[0]
    return uri.rpartition("/")[2]


def _locate(uri: str, options: RunOptions) -> str:
    """Say where a uri's bytes are, without looking."""
    if options.gifs:
        name = _file_name(uri)
        return str(options.gifs / (unquote(name) if "://" in uri else name))
    if not isinstance(options.listing, Path):
        # Nothing in a listing from elsewhere may name a file of this machine: every location has a scheme.
        folder = re.split(r"[?#]", options.listing)[0].rpartition("/")[0]
        return uri if "://" in uri else f"{folder}/{uri}"
    if uri.startswith("file://"):
        return unquote(uri.removeprefix("file://"))
    if "://" in uri:
        return uri
    return str(options.listing.parent / uri)
