"""Drawn and damaged GIFs decode as with the plain decoder, without a write outside an array, a crash or a hang."""

import os
import time

import numpy as np
import pytest

from tests.curation.decode.gif.fuzz import run
from tests.curation.decode.gif.guards import GUARD, OverrunError, guard_calls

NUM_CASES = 2_000
NUM_SLOW_CASES = 100_000
NUM_BOUNDS_CASES = 400


def fail(seed: int, number: int) -> str | None:
    """Fail in each way that a case can."""
    if number == 1:
        return "different"
    if number == 2:
        np.empty(1 << 30, np.uint8)
    if number == 3:
        os.abort()
    if number == 5:
        time.sleep(600)
    return None


def test_damaged_gifs_decode_as_with_the_plain_decoder() -> None:
    assert run(0, 0, NUM_CASES).failures == []


@pytest.mark.slow
def test_many_damaged_gifs_decode_as_with_the_plain_decoder() -> None:
    assert run(1, 0, NUM_SLOW_CASES).failures == []


@pytest.mark.slow
def test_damaged_gifs_decode_within_checked_bounds() -> None:
    assert run(2, 0, NUM_BOUNDS_CASES, check_bounds=True).failures == []


def test_each_failure_is_reported_and_the_run_goes_on() -> None:
    different, memory, crash, hang = run(9, 0, 8, check=fail, hang_s=5).failures
    assert different == "seed 9 case 1: different"
    assert memory.startswith("seed 9 case 2: ")
    assert "MemoryError" in memory
    assert crash == "seed 9 case 3: crash or hang, exit code -6"
    assert hang == "seed 9 case 5: crash or hang, exit code -9"


@pytest.mark.parametrize("offset", [-1, 10])
def test_write_outside_an_array_raises(offset: int) -> None:
    def write(array: np.ndarray) -> None:
        array.base[len(GUARD) + offset] ^= 1

    with pytest.raises(OverrunError, match="write wrote outside its argument 0"):
        guard_calls("write", write)(np.zeros(10, np.uint8))
