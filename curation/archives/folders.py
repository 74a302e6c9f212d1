"""List the files of a folder."""

import os
from pathlib import Path

from curation.archives.entry import Entry
from shards.storage.location import Location


def list_folder(folder: Location) -> list[Entry]:
    """Return all files below a folder in the order of their paths, without following links to folders.

    Raises OSError and StoreError.
    """
    if not isinstance(folder, Path):
        start = len(str(folder)) + 1
        found = [(str(path)[start:], int(info.size)) for path, info in folder.scan(recursive=True) if info.is_file]
        return [Entry(name, name, size) for name, size in sorted(found)]
    entries = []
    for parent, _, names in os.walk(folder, onerror=_raise):
        below = os.path.relpath(parent, folder)
        for name in names:
            path = name if below == "." else f"{below}/{name}"
            shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            entries.append(Entry(shown, path, 0, None if shown == path else "its name is not UTF-8"))
    return sorted(entries, key=lambda entry: entry.name)


def _raise(error: OSError) -> None:
    raise error
