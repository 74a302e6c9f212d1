"""What was fetched, by content: `objects/AB/SHA256` holds bytes, `urls/AB/HASH.json` tells what a URL gave.

An object's name is the hash of its bytes, so it is proved whenever it is found; damage is forgotten and fetched again.
Runs may share a cache: a file appears whole or not at all, and two that fetch the same write the same.
"""

import hashlib
import json
import threading
from pathlib import Path

from curation.fetch.object_cache import Store


class Cache:
    """A cache in a store. Its methods may be called from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._used: set[str] = set()
        self._lock = threading.Lock()

    def find(self, url: str) -> str | None:
        """Say where the bytes of a URL lie, after a check of their hash; None where they do not, or are damaged."""
        sha256 = self._read_entry(_entry_name(url))
        if sha256 is None:
            return None
        name = _object_name(sha256)
        if self._store.sha256(name) != sha256:
            # What is damaged must not stay: a fetch of another URL could find it there and trust it.
            self._store.remove(name)
            return None
        self._note_use(name)
        return self._store.locate(name)

    def keep(self, url: str, path: Path, sha256: str) -> str:
        """Move what a URL gave, a file on disk, into the cache; says where it lies now."""
        name = _object_name(sha256)
        self._note_use(name)
        num_bytes = path.stat().st_size
        self._store.put(name, path)
        entry = {"url": url, "sha256": sha256, "num_bytes": num_bytes}
        path.write_text(json.dumps(entry), encoding="utf-8")
        self._store.put(_entry_name(url), path)
        return self._store.locate(name)

    def trim(self, max_bytes: int) -> None:
        """Remove what was used longest ago until no more bytes are left, but nothing that this run has used."""
        objects = sorted(self._store.list("objects"), key=lambda kept: (kept.used_ns, kept.name))
        excess = sum(kept.num_bytes for kept in objects) - max_bytes
        removed = set()
        for kept in objects:
            if excess <= 0:
                break
            if kept.name not in self._used:
                self._store.remove(kept.name)
                removed.add(kept.name)
                excess -= kept.num_bytes
        for entry in self._store.list("urls") if removed else ():
            sha256 = self._read_entry(entry.name)
            if sha256 is None or _object_name(sha256) in removed:
                self._store.remove(entry.name)

    def _read_entry(self, name: str) -> str | None:
        data = self._store.read(name)
        try:
            sha256 = json.loads(data)["sha256"] if data else None
        except (ValueError, KeyError, TypeError):
            return None
        return sha256 if isinstance(sha256, str) and len(sha256) == 64 and sha256.isalnum() else None

    def _note_use(self, name: str) -> None:
        with self._lock:
            self._used.add(name)


def _object_name(sha256: str) -> str:
    return f"objects/{sha256[:2]}/{sha256}"


def _entry_name(url: str) -> str:
    name = hashlib.sha256(url.encode()).hexdigest()
    return f"urls/{name[:2]}/{name}.json"
