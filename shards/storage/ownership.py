"""The rule for every output folder: a command writes only to a folder that is empty, or that it has made.

A folder is ours if it holds the record of a finished output, such as dataset.json with the fields of our manifest, or
the marker of a run that has begun. The name of a file is no proof: other programs write a dataset.json too.
"""

import contextlib
import dataclasses
import json
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shards.json_fields import load_json
from shards.storage.atomic import write_atomically
from shards.storage.location import Location

MARKER = "owner.json"
"""Name of the marker in the work folder of an output that is not finished."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputKind:
    """A kind of output folder."""

    name: str
    """In words, such as `data set`."""
    record: str
    """Name of the JSON file that proves that a folder is such an output."""
    fields: frozenset[str]
    """Fields that the record always has, in every version."""
    entries: frozenset[str]
    """Names of the files and folders that a command writes to the folder."""
    leftovers: Mapping[str, re.Pattern[str]] = dataclasses.field(default_factory=dict)
    """Entries that are in nobody's way, by their names, if all that they hold has such a name."""


def read_record(path: Location) -> dict[str, Any]:
    """Read a JSON object; empty if the file is missing, damaged or holds something else."""
    try:
        record = load_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def is_finished_output(out: Location, kind: OutputKind) -> bool:
    """Return whether a folder holds the record of an output of this kind, whatever its version."""
    return kind.fields <= read_record(out / kind.record).keys()


def write_marker(work: Location, kind: OutputKind, files: list[str]) -> None:
    """Mark the folder above `work` as ours; `files` are the paths in it that later runs may delete."""
    record = {"program": "pix2gif", "output": kind.name, "files": files}
    with write_atomically(work / MARKER) as temporary:
        temporary.write_text(json.dumps(record, indent=1))


def read_marker(work: Location, kind: OutputKind) -> list[str] | None:
    """Return the files that the marker lists; None if there is no marker of this kind."""
    record = read_record(work / MARKER)
    files = record.get("files")
    if record.get("program") != "pix2gif" or record.get("output") != kind.name or not isinstance(files, list):
        return None
    return [name for name in files if isinstance(name, str)]


def describe_conflict(
    out: Location, kind: OutputKind, is_begun: Callable[[], bool], *, beside: bool = False
) -> str | None:
    """Return why a command may not write to a folder, to follow the folder's name; None if it may.

    `is_begun` returns whether a run that has not finished marked the folder. `beside`: allow files of others whose
    names the command does not write.
    """
    if not out.exists():
        return None
    if not out.is_dir():
        return "is a file; a folder was expected"
    if is_finished_output(out, kind) or is_begun():
        return None
    others = {path.name for path in list_entries(out) if path.name not in kind.entries or _is_of_others(path, kind)}
    in_the_way = others & kind.entries
    if not (in_the_way if beside else others):
        return None
    if kind.record in others:
        return f"holds a {kind.record} that is not of a {kind.name} of pix2gif, or is damaged; choose another folder"
    if beside:
        return f"holds {min(in_the_way)}, which pix2gif did not write and would replace; choose another folder"
    return f"holds something else ({min(others)}); choose an empty folder"


def list_entries(folder: Location) -> list[Location]:
    """Return the files and folders of a folder; none where there is no such folder, or no longer."""
    with contextlib.suppress(FileNotFoundError):
        return list(folder.iterdir())
    return []


def find_link(paths: list[Location]) -> Path | None:
    """Return the first of some paths that is a symbolic link: through it, a command would write elsewhere."""
    return next((path for path in paths if isinstance(path, Path) and path.is_symlink()), None)


def is_same_location(first: Location, second: Location) -> bool:
    """Return whether two paths name the same folder, whatever links, `..` and slashes they contain."""
    if isinstance(first, Path) and isinstance(second, Path):
        if first.exists() and second.exists():
            return first.samefile(second)
        return first.resolve() == second.resolve()
    return type(first) is type(second) and _normalize_url(str(first)) == _normalize_url(str(second))


def _normalize_url(url: str) -> tuple[str, ...]:
    scheme, _, path = url.partition("://")
    names = (name for name in path.split("/") if name not in ("", "."))
    return ({"gcs": "gs"}.get(scheme.lower(), scheme.lower()), *names)


def _is_of_others(path: Location, kind: OutputKind) -> bool:
    """Return whether an entry holds files that a run which was stopped early has not left."""
    if isinstance(path, Path):
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISDIR(path.lstat().st_mode):
                return True
    if pattern := kind.leftovers.get(path.name):
        return not all(pattern.fullmatch(entry.name) for entry in list_entries(path))
    if isinstance(path, Path):
        return any(entry.is_symlink() or not entry.is_dir() for entry in path.rglob("*"))
    # A store keeps empty objects for folders that something was deleted from.
    return path.is_file() or any(info.is_file for _, info in path.scan(recursive=True))
