"""--gifs: find the file of each clip in folders, zips and tars, by the rule of --gifs-by.

A name that fits several files, or several clips, is not guessed: such clips have no bytes, and their place says why.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from curation.archives.entry import Entry
from curation.archives.errors import ArchiveError
from curation.archives.folders import list_folder
from curation.archives.location import FOLDER, TAR, ZIP, Archive, Archives, problem
from curation.archives.tars import list_tar, open_tar
from curation.archives.zips import list_zip
from curation.errors import ListingError
from curation.listing.columns import FILE_RULE
from curation.listing.names import hash_of_url, name_in_folder, path_in_folder
from curation.listing.sources import expand_pattern
from shards.errors import StoreError, describe_error
from shards.storage.location import Location, ObjectPath
from shards.storage.object_stores import is_object

BY_NAME, BY_PATH, BY_HASH = "name", "path", "url-sha256"
_AMBIGUOUS = ""


class GifFiles:
    """The files of --gifs."""

    def __init__(self, gifs: Path | str, rule: str) -> None:
        """List the archives, and the folders if that is needed. Raises ListingError."""
        self.archives = Archives()
        self.notes: list[str] = []
        self._gifs = gifs
        self._rule = rule
        self._plain: Path | None = None
        self._places: dict[str, str] = {}
        self._fits: dict[str, list[str]] = {}
        sources = [_Source(path) for path in expand_pattern(str(gifs))]
        if rule == BY_NAME and len(sources) == 1 and sources[0].is_plain_folder():
            self._plain = Path(sources[0].shown)
        else:
            for source in sources:
                self._add(source)

    @property
    def folder(self) -> str | None:
        """The folder of --gifs, with symbolic links resolved; None unless --gifs is a single folder."""
        return os.path.realpath(self._gifs) if Path(self._gifs).is_dir() else None

    def place(self, uris: pa.ChunkedArray, files: pa.ChunkedArray | None) -> pa.Array | None:
        """Return the place of each clip, by its uri or by its value in the column of the rule.

        The place is null where the uri alone says where the file is: in a folder without subfolders, by its name.
        Returns None if it is so for all.
        """
        # In Arrow's memory: a million strings of Python's would take 100 MB.
        keys = (
            files.combine_chunks()
            if files is not None
            else pa.array((self._key(uri.as_py()) for uri in uris), pa.string())
        )
        counts = pc.value_counts(keys)
        shared = set(counts.field("values").filter(pc.greater(counts.field("counts"), 1)).to_pylist())
        if self._plain is not None and not shared:
            return None
        return pa.array((self._place_one(key.as_py(), shared) for key in keys), pa.string())

    def _place_one(self, key: str, shared: set[str]) -> str | None:
        if key in shared:
            return problem(f"several urls have the {self._describe_rule()} {key}; --gifs-by names another rule")
        return None if self._plain is not None else self._find(key)

    def locate(self, uri: str) -> str:
        """Return the path of a clip in a folder without subfolders."""
        assert self._plain is not None  # noqa: S101 # Elsewhere every clip has a place.
        return str(self._plain / name_in_folder(uri))

    def _key(self, uri: str) -> str:
        if self._rule == BY_PATH:
            return path_in_folder(uri)
        return hash_of_url(uri) if self._rule == BY_HASH else name_in_folder(uri)

    def _keys_of(self, name: str) -> Iterator[str]:
        """Yield the keys by which a file is found."""
        base = name.rpartition("/")[2]
        if self._rule == BY_HASH:
            yield base.partition(".")[0].lower()
        elif self._rule == BY_NAME:
            yield base
        else:
            yield name
            if self._rule.startswith(FILE_RULE) and base != name:
                yield base

    def _add(self, source: "_Source") -> None:
        number = self.archives.add(Archive(kind=source.kind, location=source.shown))
        num_files, folders = 0, set()
        for entry in source.list():
            num_files += 1
            folders.add(entry.name.rpartition("/")[0])
            fault = entry.problem or (None if self.folder else source.find_link_out(entry))
            place = problem(f"{entry.name} of {source.shown}: {fault}") if fault else f"{number}:{entry.place}"
            for key in self._keys_of(entry.name):
                if key in self._places:
                    self._places[key] = _AMBIGUOUS
                    self._fits.setdefault(key, []).append(entry.name)
                else:
                    self._places[key] = place
        searched = f", in {len(folders):,} folders" if len(folders) > 1 else ""
        self.notes.append(f"--gifs: {source.shown} has {num_files:,} files{searched}, found by {self._rule}")

    def _find(self, key: str) -> str:
        place = self._places.get(key)
        if place is None:
            return problem(f"no file of --gifs {self._gifs} has the {self._describe_rule()} {key}")
        if place == _AMBIGUOUS:
            count = len(self._fits[key]) + 1
            return problem(
                f"{count:,} files of --gifs have the {self._describe_rule()} {key}; --gifs-by names another rule"
            )
        return place

    def _describe_rule(self) -> str:
        return {BY_NAME: "name", BY_PATH: "path", BY_HASH: "SHA-256"}.get(self._rule, "name or path")


class _Source:
    """A folder, a zip or a tar of --gifs."""

    def __init__(self, path: str) -> None:
        """Recognise it. Raises ListingError if it is none of these."""
        self.shown = path
        self._location: Location = ObjectPath(path.rstrip("/")) if "://" in path else Path(path)
        if "://" in path and not is_object(path):
            raise ListingError(f"--gifs {path} is on the web; download it, and name the file")
        self.kind, self._list = self._recognise()

    def _recognise(self) -> tuple[str, Callable[[], Iterator[Entry]]]:
        try:
            if self._location.is_dir():
                return FOLDER, lambda: iter(list_folder(self._location))
            if not self._location.is_file():
                raise ListingError(f"--gifs {self.shown} is not a folder, a zip or a tar: there is no such file")
            with self._location.open("rb") as file:
                head = file.read(262)
        except (OSError, StoreError) as error:
            raise ListingError(f"cannot read --gifs {self.shown}: {describe_error(error)}") from error
        if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            return ZIP, lambda: list_zip(self._location)
        if head[257:262] == b"ustar" or self.shown.lower().endswith((".tar", ".tar.gz", ".tgz")):
            return TAR, self._list_tar
        raise ListingError(f"--gifs {self.shown} is not a folder, a zip or a tar")

    def _list_tar(self) -> Iterator[Entry]:
        with open_tar(self._location) as file:
            yield from list_tar(file)

    def list(self) -> Iterator[Entry]:
        """Yield its files. Raises ListingError."""
        try:
            yield from self._list()
        except (ArchiveError, OSError, StoreError) as error:
            raise ListingError(f"--gifs: {error}") from error

    def find_link_out(self, entry: Entry) -> str | None:
        """Return why a file of a folder is not read, if it is a link that leads out of it."""
        if self.kind != FOLDER or not isinstance(self._location, Path):
            return None
        path = self._location / entry.place
        is_out = path.is_symlink() and not path.resolve().is_relative_to(self._location.resolve())
        return "it is a link that leads out of the folder" if is_out else None

    def is_plain_folder(self) -> bool:
        """Return whether it is a folder on disk without subfolders, so that a file's name is its path."""
        if self.kind != FOLDER or not isinstance(self._location, Path):
            return False
        try:
            with os.scandir(self._location) as found:
                return not any(entry.is_dir(follow_symlinks=False) for entry in found)
        except OSError as error:
            raise ListingError(f"cannot read --gifs {self.shown}: {error.strerror}") from error
