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
GUARD = bytes(range(1, 256)) * 16 + b"\xff" * 16
"""4 kB."""
GUARD_BYTES = np.frombuffer(GUARD, np.uint8)


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
        arrays = {id(argument): argument for argument in args if isinstance(argument, np.ndarray)}
        guarded = {key: guard(array) for key, array in arrays.items()}
        result = entry(*(guarded[id(argument)][0] if id(argument) in guarded else argument for argument in args))
        for key, array in arrays.items():
            copy, memory = guarded[key]
            if memory[: len(GUARD)].tobytes() != GUARD or memory[-len(GUARD) :].tobytes() != GUARD:
                number = next(number for number, argument in enumerate(args) if argument is array)
                raise OverrunError(f"{name} wrote outside its argument {number}")
            array[...] = copy
        return result

    return call


def guard(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a copy of an array, and its memory with the guards before and behind it."""
    memory = np.empty(array.nbytes + 2 * len(GUARD), np.uint8)
    memory[: len(GUARD)] = memory[-len(GUARD) :] = GUARD_BYTES
    copy = memory[len(GUARD) : -len(GUARD)].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy, memory
