"""Where a data set lies: a folder on disk, or a place below a bucket, with the same few operations.

A place on disk is pathlib's Path and nothing else. One in a store is an ObjectPath, which has those of Path's methods
that data sets need; folders there are but the beginnings of names. `write_atomically` writes to either.
"""

import contextlib
import dataclasses
import fnmatch
import io
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from shards.errors import StoreError
from shards.stores import open_store, say_why

_CHUNK = 2**24
_SCHEMES = ("s3", "gs", "gcs")
"""Stores that data sets are written to and read from; more of them hold GIFs."""


@dataclasses.dataclass(frozen=True, order=True)
class ObjectPath:
    """An object in a store, or a folder of them, such as `s3://bucket/shards`.

    All methods raise FileNotFoundError for an object that is not there, and StoreError where the store cannot be
    reached or refuses.
    """

    location: str

    def __str__(self) -> str:
        return self.location

    def __truediv__(self, name: str) -> "ObjectPath":
        return ObjectPath(f"{self.location}/{name}")

    @property
    def name(self) -> str:
        """What stands after the last slash."""
        return self.location.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without its extension."""
        return Path(self.name).stem

    @property
    def parent(self) -> "ObjectPath":
        """The folder that holds it."""
        return ObjectPath(self.location.rpartition("/")[0])

    def absolute(self) -> "ObjectPath":
        """Give the same: there is no other kind."""
        return self

    def exists(self) -> bool:
        """Whether there is such an object, or one whose name begins with this folder's."""
        return self._type() is not None

    def is_file(self) -> bool:
        """Whether there is such an object."""
        return self._type() == "File"

    def is_dir(self) -> bool:
        """Whether there are objects below."""
        return self._type() == "Directory"

    def open(self, mode: str = "rb", buffering: int = io.DEFAULT_BUFFER_SIZE) -> io.BufferedReader:
        """Open an object to read it in any order; each read of `buffering` bytes is one request."""
        assert mode == "rb", mode  # noqa: S101 # As Path takes it; objects are written by `upload`.
        with self._reaching() as (store, path):
            return io.BufferedReader(store.open_input_file(path), buffering)

    def read_bytes(self) -> bytes:
        """Read an object whole."""
        with self._reaching() as (store, path), store.open_input_stream(path, compression=None) as stream:
            return bytes(stream.read())

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Read an object of text."""
        return self.read_bytes().decode(encoding, errors)

    def chunks(self) -> Iterator[bytes]:
        """Read an object, a piece at a time; each is a request of its own."""
        with self._reaching() as (store, path), store.open_input_stream(path, compression=None) as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk

    def upload(self, file: Path) -> None:
        """Put a file on disk there. The object appears when it is whole, in the place of one that was there."""
        # In one piece: were a fault to come between two, what the store has by then would appear when the stream is
        # closed. A file that is empty cannot be mapped.
        data = pa.memory_map(str(file)).read_buffer() if file.stat().st_size else b""
        try:
            with self._reaching() as (store, path):
                with store.open_output_stream(path, compression=None) as stream:
                    stream.write(data)
                if store.get_file_info(path).size != len(data):
                    raise StoreError(f"{self}: the store does not hold as many bytes as were sent")
        except FileNotFoundError as error:
            raise StoreError(f"{self}: there is no such bucket") from error

    @property
    def etag(self) -> str | None:
        """The store's mark of these bytes: another upload gets another one. None where the store gives none."""
        with self._reaching() as (store, path), store.open_input_stream(path, compression=None) as stream:
            known: dict[bytes | str, bytes] = stream.metadata() or {}
        marks = [value.decode() for name, value in known.items() if name in ("ETag", "etag", b"ETag", b"etag")]
        return marks[0] if marks else None

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete an object."""
        try:
            with self._reaching() as (store, path):
                store.delete_file(path)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def iterdir(self) -> Iterator["ObjectPath"]:
        """Yield what the folder holds, objects and folders."""
        # Google's client does not tell of folders that it did not make.
        recursive = self.location.lower().startswith(("gs://", "gcs://"))
        start = len(self.location) + 1
        names = {path.location[start:].partition("/")[0]: None for path, _ in self.scan(recursive=recursive)}
        return (self / name for name in names)

    def glob(self, pattern: str) -> Iterator["ObjectPath"]:
        """Yield the objects that the folder holds under names of a pattern, which has no slash."""
        found = (path for path, info in self.scan() if info.is_file)
        return (path for path in found if fnmatch.fnmatchcase(path.name, pattern))

    def scan(self, *, recursive: bool = False) -> list[tuple["ObjectPath", Any]]:
        """List the folder: each path with what the store tells of it, pyarrow's FileInfo."""
        from pyarrow import fs

        with self._reaching() as (store, path):
            found = store.get_file_info(fs.FileSelector(path, recursive=recursive, allow_not_found=True))
        return [(ObjectPath(f"{self}{info.path.removeprefix(path)}"), info) for info in found]

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: a folder is there as soon as an object is."""

    def rmdir(self) -> None:
        """Do nothing: a folder goes with its last object."""

    def remove_tree(self) -> None:
        """Delete all objects below."""
        with self._reaching() as (store, path):
            try:
                store.delete_dir(path)
            except OSError:
                if store.get_file_info(path).type.name == "Directory":
                    raise

    def _type(self) -> str | None:
        with self._reaching() as (store, path):
            found = store.get_file_info(path).type.name
        return None if found == "NotFound" else found

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[tuple[Any, str]]:
        """Give the filesystem and the path there; what goes wrong becomes a sentence."""
        try:
            yield open_store(self.location)
        except FileNotFoundError as error:
            raise FileNotFoundError(error.errno, error.strerror, str(self)) from error
        except (OSError, ValueError) as error:
            raise StoreError(say_why(self.location, error)) from error


Location: TypeAlias = Path | ObjectPath


def parse_location(text: str | Location) -> Location:
    """Take a path on disk, or the address of a place in a store. Raises StoreError for one of any other kind."""
    scheme, is_url, path = str(text).partition("://")
    if not is_url:
        return Path(str(text))
    if scheme.lower() not in _SCHEMES:
        raise StoreError(f"{text}: a data set lies in a folder, or in a store at s3:// or gs://, not at {scheme}://")
    if not path.strip("/"):
        raise StoreError(f"{text}: names no bucket")
    return ObjectPath(str(text).rstrip("/"))


@contextlib.contextmanager
def on_disk(path: Location) -> Iterator[Path]:
    """Give a file on disk with the bytes of `path`: itself, or a copy that goes when the block ends."""
    if isinstance(path, Path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="pix2gif-") as folder:
        copy = Path(folder, path.name)
        with copy.open("wb") as file:
            for chunk in path.chunks():
                file.write(chunk)
        yield copy


def list_files(folder: Location, pattern: str) -> list[Location]:
    """List what a folder holds under names of a pattern, in their order; nothing where there is no such folder."""
    return sorted(folder.glob(pattern), key=str)


def remove_tree(folder: Location) -> None:
    """Remove a folder with all that is in it, if it is there."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder.remove_tree()


def for_arrow(path: Location) -> Any:
    """Give what Arrow reads a whole file of columns from: a path on disk, or the bytes of an object."""
    return path if isinstance(path, Path) else pa.BufferReader(path.read_bytes())
