"""How the kernel is compiled, and where compiled code is kept.

Numba keeps machine code beside the source (`__pycache__`), or where that cannot be written, in the user's
cache directory; `NUMBA_CACHE_DIR` overrides both. Files are written aside and renamed, so processes that
compile at once do not disturb each other, and they are kept apart by kind of processor.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from numba import config, njit

OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}
"""For every function. No fastmath: bits must depend neither on the machine nor on the compiler's mood."""

CHECKS_BOUNDS = bool(config.BOUNDSCHECK)  # type: ignore[attr-defined]  # set from the environment


def compile_part(function: Callable[..., Any]) -> Any:
    """Compile a function that entry points call; it becomes a part of theirs, and is not kept by itself."""
    return njit(**OPTIONS)(function)


def compile_entry(function: Callable[..., Any]) -> Any:
    """Compile an entry point of the kernel on first call, and keep it on disk.

    Where no place can be written it is compiled anew by every process, with a warning. With bounds checking
    (NUMBA_BOUNDSCHECK=1) nothing is kept or looked up, since the cache does not tell such code apart.
    """
    if CHECKS_BOUNDS:
        return compile_part(function)
    try:
        return njit(**OPTIONS, cache=True)(function)
    except RuntimeError as error:  # Numba's "no locator available"
        warnings.warn(f"compiled code is not kept, every process waits seconds for it: {error}", stacklevel=2)
        return compile_part(function)


def digest_sources(*modules: ModuleType) -> str:
    """Digest the source files of modules that an entry point is compiled from, and this one's, for the options.

    Numba compiles anew when the entry point's own file changes, or a value that it closes over. Closed over,
    this is what notices a change in the other files.
    """
    files = [Path(__file__), *(Path(str(module.__file__)) for module in modules)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
