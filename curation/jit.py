"""Compilation with Numba, and its cache.

Numba caches machine code beside the source (`__pycache__`), or in the user's cache directory if that is not writable.
`NUMBA_CACHE_DIR` overrides both. Cache files are written atomically, so processes may compile at the same time, and
there is one per processor type.
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
"""Options of every function. No fastmath: results must not depend on the processor or the compiler version."""

CHECKS_BOUNDS = bool(config.BOUNDSCHECK)  # type: ignore[attr-defined]
"""Whether NUMBA_BOUNDSCHECK=1 is set."""


def compile_part(function: Callable[..., Any]) -> Any:
    """Compile a function that entry points call. Its code is cached as part of theirs."""
    return njit(**OPTIONS)(function)


def compile_entry(function: Callable[..., Any]) -> Any:
    """Compile an entry point at its first call and cache its code on disk.

    If no cache directory is writable, every process compiles it, with a warning. With NUMBA_BOUNDSCHECK=1 the cache is
    not used, because Numba does not include the setting in the cache key.
    """
    if CHECKS_BOUNDS:
        return compile_part(function)
    try:
        return njit(**OPTIONS, cache=True)(function)
    except RuntimeError as error:  # Numba found no writable cache directory.
        warnings.warn(f"compiled code cannot be cached, so every process compiles for seconds: {error}", stacklevel=2)
        return compile_part(function)


def digest_sources(*modules: ModuleType) -> str:
    """Return the SHA-256 of the source files of some modules and of this one, whose options affect the code.

    Numba recompiles an entry point if its own file or a value that it closes over changes. If the entry point closes
    over this digest, a change in another file recompiles it too.
    """
    files = [Path(__file__), *(Path(str(module.__file__)) for module in modules)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
