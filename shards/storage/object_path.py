"""Objects and folders in a store, with the methods of pathlib's Path that data sets need.

A folder in a store is a prefix of names: it exists as long as an object below it does.
"""

import contextlib
import dataclasses
import fnmatch
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from shards.errors import StoreError
from shards.storage.object_stores import GOOGLE_SCHEMES, describe_error, open_store

_CHUNK_BYTES = 2**24


@dataclasses.dataclass(frozen=True, order=True)
class ObjectPath:
    """An object in a store or a folder of them, such as `s3://bucket/shards`.

    Methods raise FileNotFoundError for an object that does not exist, and StoreError where the store cannot be reached
    or refuses.
    """

    location: str

    def __str__(self) -> str:
        return self.location

    def __truediv__(self, name: str) -> "ObjectPath":
        return ObjectPath(f"{self.location}/{name}")

    @property
    def name(self) -> str:
        """The part after the last slash."""
        return self.location.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without its extension."""
        return Path(self.name).stem

    @property
    def parent(self) -> "ObjectPath":
        """The folder of this object."""
        return ObjectPath(self.location.rpartition("/")[0])

    def absolute(self) -> "ObjectPath":
        """Return the path itself: locations in a store are always absolute."""
        return self

    def exists(self) -> bool:
        """Return whether there is such an object or folder."""
        return self._type() != "NotFound"

    def is_file(self) -> bool:
        """Return whether there is such an object."""
        return self._type() == "File"

    def is_dir(self) -> bool:
        """Return whether there is such a folder."""
        return self._type() == "Directory"

    def open(self, mode: str = "rb", buffering: int = io.DEFAULT_BUFFER_SIZE) -> Any:
        """Open an object to read it in any order; each read of `buffering` bytes, or of any size if 0, is one request.

        Reads raise OSError.
        """
        assert mode == "rb", mode  # noqa: S101 # The signature is Path's; objects are written by `upload`.
        with self._client() as (store, path):
            file = store.open_input_file(path)
        return io.BufferedReader(file, buffering) if buffering else file

    def read_bytes(self, max_bytes: int | None = None) -> bytes:
        """Return the object's bytes, or the first `max_bytes` of them."""
        with self._client() as (store, path), store.open_input_stream(path, compression=None) as stream:
            return bytes(stream.read(max_bytes))

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the object's text."""
        return self.read_bytes().decode(encoding, errors)

    def download(self, path: Path) -> None:
        """Write the object's bytes to a file on disk."""
        with (
            self._client() as (store, source),
            store.open_input_stream(source, compression=None) as stream,
            path.open("wb") as file,
        ):
            while chunk := stream.read(_CHUNK_BYTES):
                file.write(chunk)

    def upload(self, file: Path) -> None:
        """Write a file on disk to the object, replacing one that exists. The object appears when it is complete."""
        # In one write: after a fault between two, closing the stream would publish what the store has by then.
        # An empty file cannot be memory-mapped.
        data = pa.memory_map(os.fsencode(file)).read_buffer() if file.stat().st_size else b""
        try:
            with self._client() as (store, path):
                with store.open_output_stream(path, compression=None) as stream:
                    stream.write(data)
                if store.get_file_info(path).size != len(data):
                    raise StoreError(f"{self}: the store does not hold as many bytes as were sent")
        except FileNotFoundError as error:
            raise StoreError(f"{self}: there is no such bucket") from error

    @property
    def etag(self) -> str | None:
        """The store's entity tag, which changes with each upload; None where the store has none."""
        with self._client() as (store, path), store.open_input_stream(path, compression=None) as stream:
            metadata: dict[bytes | str, bytes] = stream.metadata() or {}
        tags = [value.decode() for name, value in metadata.items() if name in ("ETag", "etag", b"ETag", b"etag")]
        return tags[0] if tags else None

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete an object.

        On S3, Arrow writes an empty object `folder/` whenever it deletes something in a folder, so that the folder
        stays; there is no option against it.
        """
        try:
            with self._client() as (store, path):
                store.delete_file(path)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def iterdir(self) -> Iterator["ObjectPath"]:
        """Yield the objects and folders of the folder."""
        # Google's client lists only folders that it created, so they are derived from the names of objects.
        scheme = self.location.partition("://")[0].lower()
        start = len(self.location) + 1
        listed = self.scan(recursive=scheme in GOOGLE_SCHEMES)
        names = {path.location[start:].partition("/")[0]: None for path, _ in listed}
        return (self / name for name in names)

    def glob(self, pattern: str) -> Iterator["ObjectPath"]:
        """Yield the objects of the folder whose names match a pattern without slashes."""
        objects = (path for path, info in self.scan() if info.is_file)
        return (path for path in objects if fnmatch.fnmatchcase(path.name, pattern))

    def scan(self, *, recursive: bool = False) -> list[tuple["ObjectPath", Any]]:
        """List the folder: each path with its pyarrow FileInfo."""
        from pyarrow import fs

        with self._client() as (store, path):
            infos = store.get_file_info(fs.FileSelector(path, recursive=recursive, allow_not_found=True))
        return [(ObjectPath(f"{self}{info.path.removeprefix(path)}"), info) for info in infos]

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: a folder exists as soon as an object below it does."""

    def rmdir(self) -> None:
        """Do nothing: a folder goes with its last object."""

    def remove_tree(self) -> None:
        """Delete all objects below the folder; see `unlink` for what remains on S3."""
        with self._client() as (store, path):
            try:
                store.delete_dir(path)
            except OSError:
                if store.get_file_info(path).type.name == "Directory":
                    raise

    def _type(self) -> str:
        with self._client() as (store, path):
            return str(store.get_file_info(path).type.name)

    @contextlib.contextmanager
    def _client(self) -> Iterator[tuple[Any, str]]:
        """Yield the filesystem and the path in it; its errors become StoreError or FileNotFoundError."""
        try:
            yield open_store(self.location)
        except FileNotFoundError as error:
            raise FileNotFoundError(error.errno, error.strerror, str(self)) from error
        except (OSError, ValueError) as error:
            raise StoreError(describe_error(self.location, error)) from error
