"""Cache of fetched GIFs, in a folder or an object store.

`objects/AB/SHA256` holds bytes; `urls/AB/HASH.json` holds the SHA-256 of what a URL returned, how its owner opted out,
if a run was told to ignore that, and the URL without its credentials, which HASH includes. An object's name is the hash
of its bytes, so damage is noticed and the object fetched again. Runs may share a cache: files are complete or absent,
and two runs that fetch the same URL write the same bytes.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curation.fetch.opt_outs import OptOutRules
from shards.interface.credentials import redact
from shards.json_fields import load_json
from shards.storage.atomic import write_atomically
from shards.storage.location import Location, ObjectPath
from shards.storage.object_stores import open_store
from shards.writer import file_sha256

_OBJECT_NAME = re.compile(r"[0-9a-f]{64}")
_ENTRY_NAME = re.compile(r"[0-9a-f]{64}\.json")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _CachedFile:
    path: Location
    num_bytes: int
    used_ns: int
    """Time of the last use in a folder, of the last write in an object store."""


class Cache:
    """A cache of fetched files by URL and by content. Its methods may be called from several threads.

    They raise StoreError where an object store cannot be used, OSError where a disk is full or cannot be written to.
    """

    def __init__(self, root: Location) -> None:
        self._root = root
        self._used: set[str] = set()
        self._lock = threading.Lock()

    def find(self, url: str, rules: OptOutRules | None = None) -> str | None:
        """Return the location of a URL's bytes after a check of their hash; None where they are absent or damaged.

        Raises OptedOutError if their owner had opted out when they were downloaded, and the rules respect that.
        """
        entry = self._read_entry(self._entry_path(url))
        sha256 = _get_sha256(entry)
        if sha256 is None:
            return None
        if rules and isinstance(opt_out := entry.get("opt_out"), str):
            rules.check(opt_out)
        path = self._object_path(sha256)
        if _hash_and_touch(path) != sha256:
            # Another URL may lead to the same object, so damaged bytes are removed at once.
            path.unlink(missing_ok=True)
            return None
        self._mark_used(sha256)
        return str(path)

    def add(self, url: str, file: Path, sha256: str, opt_out: str | None = None) -> str:
        """Move the file that a URL returned into the cache and return its new location."""
        path = self._object_path(sha256)
        self._mark_used(sha256)
        num_bytes = file.stat().st_size
        _move(file, path)
        with write_atomically(self._entry_path(url), is_lasting=False) as temporary:
            entry = {"url": redact(url), "sha256": sha256, "num_bytes": num_bytes, "opt_out": opt_out}
            temporary.write_text(json.dumps(entry), encoding="utf-8")
        return str(path)

    def trim(self, max_bytes: int) -> None:
        """Remove the least recently used objects until `max_bytes` are left, but none that this run has used."""
        objects = list(_list_files(self._root / "objects", _OBJECT_NAME))
        objects.sort(key=lambda file: (file.used_ns, file.path.name))
        excess = sum(file.num_bytes for file in objects) - max_bytes
        removed = set()
        for file in objects:
            if excess <= 0:
                break
            if file.path.name not in self._used:
                file.path.unlink(missing_ok=True)
                removed.add(file.path.name)
                excess -= file.num_bytes
        for entry in _list_files(self._root / "urls", _ENTRY_NAME) if removed else ():
            if _get_sha256(self._read_entry(entry.path)) in removed:
                entry.path.unlink(missing_ok=True)

    def _object_path(self, sha256: str) -> Location:
        return self._root / "objects" / sha256[:2] / sha256

    def _entry_path(self, url: str) -> Location:
        name = hashlib.sha256(url.encode()).hexdigest()
        return self._root / "urls" / name[:2] / f"{name}.json"

    def _read_entry(self, path: Location) -> dict[str, Any]:
        """Read the entry of a URL; empty where there is none, or it is damaged."""
        try:
            entry = load_json(path.read_bytes())
        except (OSError, ValueError):
            return {}
        return entry if isinstance(entry, dict) else {}

    def _mark_used(self, sha256: str) -> None:
        with self._lock:
            self._used.add(sha256)


def _get_sha256(entry: dict[str, Any]) -> str | None:
    sha256 = entry.get("sha256")
    return sha256 if isinstance(sha256, str) and len(sha256) == 64 and sha256.isalnum() else None


def open_cache(location: str) -> Cache:
    """Open the cache in a folder or an object store. Raises StoreError for a store that cannot be opened."""
    if "://" not in location:
        return Cache(Path(location))
    open_store(location)
    return Cache(ObjectPath(location.rstrip("/")))


def _hash_and_touch(path: Location) -> str | None:
    """Return a file's SHA-256, None where it cannot be read; on disk, its modification time records the use."""
    try:
        digest = file_sha256(path)
        if isinstance(path, Path):
            os.utime(path)
    except OSError:
        return None
    return digest


def _move(file: Path, path: Location) -> None:
    if isinstance(path, ObjectPath):
        path.upload(file)
        file.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file.replace(path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # A rename works within one disk only.
        with write_atomically(path, is_lasting=False) as temporary:
            shutil.copyfile(file, temporary)
        file.unlink()


def _list_files(folder: Location, name: re.Pattern[str]) -> Iterator[_CachedFile]:
    """Yield the files of the cache: those at AB/NAME below a folder, where NAME begins with AB and matches.

    Anything else is not the cache's, and links are not followed.
    """
    if isinstance(folder, ObjectPath):
        for path, info in folder.scan(recursive=True):
            if info.is_file and name.fullmatch(path.name) and path.parent == folder / path.name[:2]:
                yield _CachedFile(path=path, num_bytes=info.size, used_ns=info.mtime_ns or 0)
        return
    for prefix in folder.glob("[0-9a-f][0-9a-f]"):
        if any(path.is_symlink() for path in (folder, prefix)) or not prefix.is_dir():
            continue
        for file in prefix.iterdir():
            if name.fullmatch(file.name) and file.name.startswith(prefix.name):
                with contextlib.suppress(FileNotFoundError):
                    status = file.lstat()
                    if stat.S_ISREG(status.st_mode):
                        yield _CachedFile(path=file, num_bytes=status.st_size, used_ns=status.st_mtime_ns)
