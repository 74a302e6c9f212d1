"""Files that are whole or not there: write under a temporary name, then rename; or on disk, then upload."""

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from shards.location import Location, ObjectPath


@contextlib.contextmanager
def write_atomically(path: Location, *, is_lasting: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends, remove it when it raises.

    The data reaches the disk before the name does, so a power cut leaves the old file or the new one; what no later run
    reads is not lasting, and need not. For a place in an object store the temporary path is on this machine, and what
    is there is uploaded when the block ends.
    """
    if isinstance(path, ObjectPath):
        with tempfile.TemporaryDirectory(prefix="pix2gif-") as folder:
            yield Path(folder, path.name)
            path.upload(Path(folder, path.name))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Several machines may write to one filesystem, and a task that was thought lost to the same name.
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.tmp")
    try:
        yield temporary
        if is_lasting:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno is None or error.filename is not None:
            raise
        # A full disk, told by a library that does not tell where.
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
