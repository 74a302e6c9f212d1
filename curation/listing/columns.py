"""Find the columns of a table: those that were named, or those with the usual names."""

import dataclasses
from collections.abc import Sequence

from curation.config import CurationConfig
from curation.errors import ListingError
from curation.listing.listed import FILE_COLUMN
from shards.schema import CLIPS_SCHEMA

URI_NAMES = (
    "url", "uri", "gif_url", "image_url", "video_url", "contenturl", "gif", "file_name", "filename", "file", "path",
    "image", "video", "link", "key", "name",
)  # fmt: skip
"""Usual names of the column of uris, the likeliest first."""
CAPTION_NAMES = (
    "caption", "captions", "text", "texts", "sentence", "sentences", "description", "descriptions", "top_caption",
    "title", "prompt", "label", "name",
)  # fmt: skip
"""Usual names of the column of captions, the likeliest first."""
FILE_RULE = "column:"
"""Begins the value of --gifs-by that names a column."""
_MAX_SHOWN = 40
_RESERVED_NAMES = ("clip", "place", FILE_COLUMN)
"""Of the columns in memory (clips.py, listed.py)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a table that are read."""

    uri: str | None
    """None: the uri of a row is not in a column of its own."""
    caption: str
    kept: tuple[str, ...]
    file: str | None
    """Of the names of files, for `--gifs-by column:NAME`."""

    @property
    def sources(self) -> dict[str, str]:
        """The column of the table for each column of a batch."""
        found = {"uri": self.uri, "caption": self.caption, **{name: name for name in self.kept}}
        found[FILE_COLUMN] = self.file
        return {name: source for name, source in found.items() if source is not None}

    def __str__(self) -> str:
        """Say which columns have the uris and the captions."""
        return f"paths or urls in {self.uri!r}, captions in {self.caption!r}"


def find_columns(names: Sequence[str], config: CurationConfig, shown: str) -> Columns:
    """Find the columns of a table of uris. Raises ListingError where one is missing."""
    uri = find_column(names, config.uri_column, URI_NAMES, "--uri-column", shown)
    caption = find_column(names, config.caption_column, CAPTION_NAMES, "--caption-column", shown, uri)
    check_kept(names, config.keep_columns, shown)
    file = file_column(config)
    if file is not None:
        check_column(names, file, "--gifs-by", shown)
    return Columns(uri=uri, caption=caption, kept=config.keep_columns, file=file)


def find_column(
    columns: Sequence[str], given: str | None, usual: Sequence[str], option: str, shown: str, taken: str | None = None
) -> str:
    """Return the column that an option names, or else the one with the likeliest name. Raises ListingError.

    taken: a column that is used for something else.
    """
    if given is not None:
        check_column(columns, given, option, shown)
        return given
    by_name = {column.lower(): column for column in reversed(columns)}
    for name in usual:
        if name in by_name and by_name[name] != taken:
            return by_name[name]
    what = "paths or urls" if option == "--uri-column" else "captions"
    raise ListingError(f"{shown}: which column has the {what}? Name it by {option}; {list_columns(columns)}")


def check_column(columns: Sequence[str], name: str, option: str, shown: str) -> None:
    """Raise ListingError if a table lacks a column that an option names."""
    if name not in columns:
        raise ListingError(f"{shown} has no column {name!r}, which {option} names; {list_columns(columns)}")


def check_kept(columns: Sequence[str], keep: Sequence[str], shown: str) -> None:
    """Raise ListingError if a column to keep is missing."""
    for name in keep:
        check_column(columns, name, "--keep-columns", shown)


def check_kept_names(keep: Sequence[str]) -> None:
    """Raise ListingError if a column to keep has the name of a column of our own."""
    for name in keep:
        if name in CLIPS_SCHEMA.names or name in _RESERVED_NAMES:
            raise ListingError(
                f"--keep-columns {name}: clips.parquet has a column of its own of that name; rename yours"
            )


def file_column(config: CurationConfig) -> str | None:
    """Return the column that --gifs-by names, if it names one."""
    return config.gifs_by.removeprefix(FILE_RULE) if config.gifs_by.startswith(FILE_RULE) else None


def list_columns(columns: Sequence[str]) -> str:
    """Return the names of the columns in words."""
    shown = [name if len(name) <= _MAX_SHOWN else f"{name[:_MAX_SHOWN]}..." for name in columns[:_MAX_SHOWN]]
    return f"the columns are: {', '.join(shown)}"
