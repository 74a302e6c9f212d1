"""The folder of compiled code: one for each user and machine, filled by one process while the others wait.

::

    ~/.cache/pix2gif/compiled/KEY/    NUMBA_CACHE_DIR/KEY/ if that is set
        *.complete                    markers: the cache holds everything that a warm-up compiles
        *.lock
        ROOM_*/                       Numba's files

KEY is a digest of everything that changes the code, so its folder never becomes stale. Numba's files are pickles, which
can run any code when they are loaded. So a folder that others can write to is not used.

This module does not import Numba, which takes half a second that most drivers do not need.
"""

import contextlib
import dataclasses
import functools
import hashlib
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import filelock

from shards.storage.location import user_cache_folder

_PACKAGE = Path(__file__).absolute().parent
_ROOMS = ("decode", "flow", "selection")
"""The rooms with compiled functions. What these use of the project is in these rooms too."""
_SOFTWARE = ("numba", "llvmlite", "numpy")
_MAX_UNUSED_S = 30 * 24 * 3600.0
_CHOOSE = "set NUMBA_CACHE_DIR to a folder of your own"
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclasses.dataclass(frozen=True, kw_only=True)
class CodeCache:
    """The cache of this process."""

    folder: Path | None
    """None if every process compiles."""
    fault: str | None = None
    """Why the cache is not used, and what to do."""

    def marker(self, warm_up: Callable[[], object]) -> Path | None:
        """Return the file that exists once the cache holds everything that a warm-up compiles."""
        return self.folder and self.folder / f"{warm_up.__module__}.{warm_up.__qualname__}.complete"

    def needs(self, warm_up: Callable[[], object]) -> bool:
        """Return whether a warm-up has to compile for the cache."""
        marker = self.marker(warm_up)
        return marker is not None and not marker.exists()


@functools.cache
def open_cache() -> CodeCache:
    """Make the cache folder of this process, unless it exists, and check that it is safe."""
    if os.environ.get("NUMBA_BOUNDSCHECK", "0") != "0":
        return CodeCache(folder=None)  # Code that checks bounds is for tests only.
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    try:
        folders = _make_folders(chosen)
        if fault := find_fault(folders):
            return CodeCache(folder=None, fault=fault)
        os.utime(folders[-1])
        if not chosen:
            _remove_unused(folders[-2])
    except OSError as error:
        return CodeCache(folder=None, fault=f"cannot make {error.filename}: {error.strerror}; {_CHOOSE}")
    except RuntimeError as error:  # There is no home directory.
        return CodeCache(folder=None, fault=f"{error}; {_CHOOSE}")
    return CodeCache(folder=folders[-1])


def fill_once(warm_up: Callable[[], None]) -> Callable[[], None]:
    """Make a warm-up, a module-level function, fill the cache in one process while the others wait.

    The operating system releases the lock of a process that dies.
    """

    @functools.wraps(warm_up)
    def fill() -> None:
        marker = open_cache().marker(warm_up)
        if marker and not marker.exists():
            with contextlib.ExitStack() as stack:
                with contextlib.suppress(OSError, NotImplementedError):  # Some network filesystems have no locks.
                    stack.enter_context(filelock.FileLock(marker.with_suffix(".lock")))
                if not marker.exists():
                    warm_up()
                    marker.touch()
        warm_up()  # Loads the code, unless this process has just compiled it.

    return fill


def find_fault(folders: Sequence[Path]) -> str | None:
    """Return why it is unsafe to load code from the last of nested folders, and what to do; None if it is safe."""
    if not hasattr(os, "geteuid"):
        return None  # Windows: a user's folders are not writable by others.
    for folder in folders:
        if fault := _find_fault_of(folder, may_be_reached=True):
            return fault
    if not os.access(folders[-1], os.W_OK | os.X_OK):
        return f"{folders[-1]} cannot be written to; make it writable, or {_CHOOSE}"
    # In a folder that only its owner can enter, the permissions of files do not matter.
    may_be_reached = all(folder.stat().st_mode & (stat.S_IXGRP | stat.S_IXOTH) for folder in folders)
    for path in folders[-1].rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # A temporary file of another process.
            if fault := _find_fault_of(path, may_be_reached):
                return fault
    return None


def list_sources() -> list[Path]:
    """Return every source file of which a change may change compiled code."""
    rooms = [path for room in _ROOMS for path in sorted((_PACKAGE / room).rglob("*.py"))]
    return [_PACKAGE / "jit.py", *rooms]


def _find_fault_of(path: Path, may_be_reached: bool) -> str | None:
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
        return f"{path} is neither a folder nor a regular file; remove it"
    if status.st_uid not in (os.geteuid(), 0):
        return f"{path} belongs to another user; remove it, or {_CHOOSE}"
    if may_be_reached and status.st_mode & _OTHERS_MAY_WRITE:
        return f"other users can write to {path}; run chmod go-w {path}, or {_CHOOSE}"
    return None


def _make_folders(chosen: str | None) -> list[Path]:
    """Make the folder of this KEY; return the nested folders, outermost first, that must be safe."""
    root = (Path(chosen) if chosen else user_cache_folder()).resolve()
    names = [_compute_key()] if chosen else ["compiled", _compute_key()]
    folders = [root.joinpath(*names[:depth]) for depth in range(len(names) + 1)]
    root.parent.mkdir(parents=True, exist_ok=True)
    for folder in folders:
        folder.mkdir(mode=0o700, exist_ok=True)
    return folders


def _remove_unused(base: Path) -> None:
    """Remove the folders of other KEYs that no process has opened for a month."""
    for folder in base.iterdir():
        with contextlib.suppress(FileNotFoundError):  # Another process removes it.
            if time.time() - folder.lstat().st_mtime > _MAX_UNUSED_S:
                shutil.rmtree(folder, ignore_errors=True)


def _compute_key() -> str:
    import llvmlite.binding as llvm

    settings = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("NUMBA_")]
    facts = [
        str(_PACKAGE),
        sys.version,
        *(f"{name} {metadata.version(name)}" for name in _SOFTWARE),
        llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(),
        *(setting for setting in settings if not setting.startswith("NUMBA_CACHE_DIR=")),
    ]
    digest = hashlib.sha256("\n".join(facts).encode())
    for path in list_sources():
        digest.update(f"\n{path.relative_to(_PACKAGE)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:20]
