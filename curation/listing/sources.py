"""LISTING or --gifs -> the files that it names, and the form of each, by content and name."""

import enum
import fnmatch
import glob
from collections.abc import Iterator
from pathlib import Path

import braceexpand

from curation.errors import ListingError
from curation.listing.columns import CAPTION_NAMES, URI_NAMES
from curation.listing.listed import ListedFile
from curation.listing.names import PATTERN, base_folder
from shards.errors import StoreError, describe_error
from shards.storage.location import Location, ObjectPath, read_at_most
from shards.storage.object_stores import is_object

_HEAD_BYTES = 2**16
_TAR_MAGIC = slice(257, 262)
_MAX_FILES = 1_000_000


class Form(enum.Enum):
    """Form of a listing."""

    TGIF = "TGIF's: one url or path, a TAB and a caption a line"
    CSV = "CSV"
    TSV = "TSV with a header"
    JSON_LINES = "JSON Lines"
    PARQUET = "Parquet"
    TAR = "WebDataset tars"
    FOLDER = "a folder"

    @property
    def may_hold_gifs(self) -> bool:
        """Whether a listing of this form may hold the GIFs themselves."""
        return self in (Form.PARQUET, Form.TAR, Form.FOLDER)


def expand_pattern(text: str) -> list[str]:
    """Return the paths or URLs that a pattern with braces and wildcards stands for, in order; itself if it has none.

    Raises ListingError if no file matches, or for a pattern that cannot be used.
    """
    is_url = "://" in text
    if not PATTERN.search(text) or (not is_url and Path(text).exists()):
        return [text]
    if is_url and not is_object(text):
        text, mark, query = text.partition("?")
        return [f"{name}{mark}{query}" for name in _expand_braces(text)]
    paths = [path for name in _expand_braces(text) for path in (_glob(name) if PATTERN.search(name) else [name])]
    if not paths:
        raise ListingError(f"no file matches {text}; quote the pattern, so that the shell does not expand it")
    return paths


def _expand_braces(text: str) -> list[str]:
    try:
        names = []
        for name in braceexpand.braceexpand(text, escape=False):
            names.append(name)
            if len(names) > _MAX_FILES:
                raise ListingError(f"{text} stands for more than {_MAX_FILES:,} files")
    except ValueError as error:
        raise ListingError(f"{text}: {error}; write braces as in {{00000..00099}}.tar or {{a,b}}.zip") from error
    return names


def _glob(pattern: str) -> list[str]:
    if "://" not in pattern:
        return sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 # A pathlib pattern cannot be absolute.
    folder = base_folder(f"{pattern}/")
    if folder.endswith("://"):
        raise ListingError(f"{pattern}: name the bucket without wildcards")
    parts = pattern.split("/")
    try:
        found = [str(path) for path, info in ObjectPath(folder).scan(recursive=True) if info.is_file]
    except StoreError as error:
        raise ListingError(f"cannot list {folder}: {error}") from error
    return sorted(
        path
        for path in found
        if len(names := path.split("/")) == len(parts)
        and all(fnmatch.fnmatchcase(name, part) for name, part in zip(names, parts, strict=True))
    )


def list_files(listing: Path | str) -> list[ListedFile]:
    """Return the files on disk or in a store that a listing names. Raises ListingError."""
    base = base_folder(listing)
    return [
        ListedFile(
            name=path.removeprefix(base).lstrip("/"),
            source=ObjectPath(path.rstrip("/")) if "://" in path else Path(path),
            shown=path,
        )
        for path in expand_pattern(str(listing))
    ]


def recognise(file: ListedFile, has_column_options: bool) -> Form:
    """Return the form of a listed file. Raises ListingError for a form that is none of a listing.

    has_column_options: whether columns were named, so that the first line of a table names its columns.
    """
    if is_folder(file):
        return Form.FOLDER
    head = read_head(file)
    if head.startswith(b"PAR1"):
        return Form.PARQUET
    if head[_TAR_MAGIC] == b"ustar":
        return Form.TAR
    for signature, advice in _refused():
        if head.startswith(signature):
            raise ListingError(f"the listing {file.shown} is {advice}")
    return _recognise_text(file, head, has_column_options)


def _recognise_text(file: ListedFile, head: bytes, has_column_options: bool) -> Form:
    name = file.name.lower()
    text = head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    first = next((line for line in text.splitlines() if line.strip()), "")
    if name.endswith((".jsonl", ".ndjson", ".json")) or first.lstrip().startswith('{"'):
        if text.lstrip().startswith("["):
            raise ListingError(f"the listing {file.shown} is one JSON array; write one object a line (JSON Lines)")
        return Form.JSON_LINES
    if name.endswith(".csv"):
        return Form.CSV
    delimiter = "\t" if "\t" in first else ","
    if delimiter in first and (has_column_options or _is_header(first.split(delimiter))):
        return Form.TSV if delimiter == "\t" else Form.CSV
    return Form.TGIF


def _refused() -> Iterator[tuple[bytes, str]]:
    yield b"PK\x03\x04", "a zip; name it by --gifs, beside a table of its members and their captions"
    yield b"\x1f\x8b", "compressed by gzip; expand it"
    yield b"\x28\xb5\x2f\xfd", "compressed by zstandard; expand it"
    yield b"GIF8", "a GIF; name its folder, or a table of paths and captions"
    yield b"\xff\xfe", "UTF-16 text; save it as UTF-8"


def _is_header(names: list[str]) -> bool:
    lowered = [name.strip().strip('"').lower() for name in names]
    uris = [name for name in lowered if name in URI_NAMES]
    captions = [name for name in lowered if name in CAPTION_NAMES]
    return any(uri != caption for uri in uris for caption in captions)


def is_folder(file: ListedFile) -> bool:
    """Return whether a listed file is a folder. Raises ListingError if the store cannot be read."""
    if isinstance(file.source, bytes):
        return False
    try:
        return file.source.is_dir()
    except (OSError, StoreError) as error:
        raise ListingError(f"cannot read the listing {file.shown}: {describe_error(error)}") from error


def read_head(file: ListedFile) -> bytes:
    """Return the first bytes of a listed file. Raises ListingError."""
    return file.source[:_HEAD_BYTES] if isinstance(file.source, bytes) else _read(file.source, _HEAD_BYTES)


def read_whole(file: ListedFile) -> bytes:
    """Return the bytes of a listed file. Raises ListingError."""
    return file.source if isinstance(file.source, bytes) else _read(file.source, None)


def _read(path: Location, max_bytes: int | None) -> bytes:
    try:
        if max_bytes is None:
            return path.read_bytes()
        return read_at_most(path, max_bytes)
    except FileNotFoundError:
        raise ListingError(f"there is no listing {path}") from None
    except (OSError, StoreError) as error:
        raise ListingError(f"cannot read the listing {path}: {describe_error(error)}") from error
