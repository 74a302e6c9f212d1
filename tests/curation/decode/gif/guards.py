"""Guard bytes around every array that compiled code gets, checked after every call."""

import contextlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np

from curation.decode import lanczos
from curation.decode.gif import canvas

ENTRIES: tuple[tuple[ModuleType, str], ...] = ((canvas, "_draw_frame"), (canvas, "fill"), (lanczos, "_resize"))
"""The compiled functions that write to arrays."""
GUARD = bytes(range(1, 257 - 1)) * 16 + b"\xa5" * 32
"""About 4 kB."""


class OverrunError(Exception):
    """Compiled code wrote outside an array."""


@contextlib.contextmanager
def guarded_arrays() -> Iterator[None]:
    """Call all entry points with guarded copies of their arrays. Raises OverrunError if a guard changes."""
    with contextlib.ExitStack() as stack:
        for module, name in ENTRIES:
            stack.enter_context(patch.object(module, name, guard_calls(name, getattr(module, name))))
        yield


def guard_calls(name: str, entry: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap an entry point. Array arguments are copied into guarded memory, and back after the call."""

    def call(*args: Any) -> Any:
        memory: dict[int, np.ndarray] = {}
        result = entry(
            *(guard(argument, memory) if isinstance(argument, np.ndarray) else argument for argument in args)
        )
        for number, argument in enumerate(args):
            if isinstance(argument, np.ndarray):
                buffer = memory[id(argument)]
                stop = len(GUARD) + argument.nbytes
                if buffer[: len(GUARD)].tobytes() != GUARD or buffer[stop:].tobytes() != GUARD:
                    raise OverrunError(f"{name} wrote outside its argument {number}")
                argument[...] = view(buffer, argument)
        return result

    return call


def guard(array: np.ndarray, memory: dict[int, np.ndarray]) -> np.ndarray:
    """Return a guarded copy of an array; the same one for the same array."""
    if id(array) not in memory:
        buffer = np.empty(array.nbytes + 2 * len(GUARD), np.uint8)
        buffer[: len(GUARD)] = buffer[len(GUARD) + array.nbytes :] = np.frombuffer(GUARD, np.uint8)
        view(buffer, array)[...] = array
        memory[id(array)] = buffer
    return view(memory[id(array)], array)


def view(buffer: np.ndarray, array: np.ndarray) -> np.ndarray:
    """View the guarded memory as an array of the same type and shape."""
    return buffer[len(GUARD) : len(GUARD) + array.nbytes].view(array.dtype).reshape(array.shape)
