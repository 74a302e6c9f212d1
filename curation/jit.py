"""Compilation with Numba. Code is cached on disk: see `curation.code_cache`."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from numba import config, njit

from curation.code_cache import open_cache

OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}
"""Options of every function. No fastmath: results must not depend on the processor or the compiler version."""

CHECKS_BOUNDS = bool(config.BOUNDSCHECK)  # type: ignore[attr-defined]
"""Whether NUMBA_BOUNDSCHECK=1 is set."""


def compile_part(function: Callable[..., Any]) -> Any:
    """Compile a function that entry points call. Its code is cached as part of theirs."""
    return njit(**OPTIONS)(function)


def compile_entry(function: Callable[..., Any]) -> Any:
    """Compile an entry point at its first call and cache its code on disk.

    If there is no safe cache folder, every process compiles it, with a warning. With NUMBA_BOUNDSCHECK=1 the cache is
    not used.
    """
    cache = open_cache()
    if cache.folder:
        with _cache_in(cache.folder):
            return njit(**OPTIONS, cache=True)(function)
    if cache.fault:
        warnings.warn(f"compiled code is not cached, so every process compiles: {cache.fault}", stacklevel=1)
    return compile_part(function)


@contextlib.contextmanager
def _cache_in(folder: Path) -> Iterator[None]:
    """Make functions that are defined in the block use this cache folder, and no other if it fails."""
    settings = {"CACHE_DIR": str(folder), "CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    before = {name: getattr(config, name, "") for name in settings}
    vars(config).update(settings)
    try:
        yield
    finally:
        vars(config).update(before)
