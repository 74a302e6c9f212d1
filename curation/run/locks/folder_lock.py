"""Lock for an OUT on disk: an exclusive lock on a file, which the system releases when the process ends."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

_ATTEMPTS = 100
"""Another run can remove the file between opening and locking it. Each attempt has to lose that race again."""


@contextlib.contextmanager
def hold_folder_lock(path: Path, clean_up: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; call `clean_up`, which may remove the file, before releasing it.

    Raises BlockingIOError if another process holds the lock, and OSError if the file cannot be written.
    """
    descriptor = _acquire(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            clean_up()
        os.close(descriptor)


def _acquire(path: Path) -> int:
    for _ in range(_ATTEMPTS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            continue
        except FileExistsError:
            if path.parent.is_file():
                raise
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_open_file(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise BlockingIOError(f"{path}: other runs keep replacing it")


def _is_open_file(descriptor: int, path: Path) -> bool:
    """Return whether the path still names the open file: the lock on a removed file excludes nobody."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
