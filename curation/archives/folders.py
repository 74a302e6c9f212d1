"""List the files of a folder."""

import os
from pathlib import Path

from curation.archives.entry import Entry
from shards.storage.location import Location


def list_folder(folder: Location, skip: Location | None = None) -> list[Entry]:
    """Return the files below a folder in the order of their paths, without following links to folders.

    Hidden folders and the folder `skip` are left out. Raises OSError and StoreError.
    """
    if not isinstance(folder, Path):
        start = len(str(folder)) + 1
        found = {str(path): int(info.size) for path, info in folder.scan(recursive=True) if info.is_file}
        names = [path[start:] for path in sorted(found) if not path.startswith(f"{skip}/")]
        return [Entry(name, name, found[f"{folder}/{name}"]) for name in names if not _is_hidden(name)]
    entries = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".") and Path(parent, name) != skip]
        below = os.path.relpath(parent, folder)
        for name in names:
            path = name if below == "." else f"{below}/{name}"
            shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            entries.append(Entry(shown, path, 0, None if shown == path else "its name is not UTF-8"))
    return sorted(entries, key=lambda entry: entry.name)


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/")[:-1])


def _raise(error: OSError) -> None:
    raise error
