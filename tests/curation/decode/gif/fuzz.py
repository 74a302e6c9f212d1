"""Fuzz the GIF decoder: drawn and damaged GIFs are decoded as by the plain decoder.

    python -m tests.curation.decode.gif.fuzz --mutations 1000000 --seed 0

The cases run in a child process with guarded arrays and limited memory. A crash or a hang is the failure of one case;
the run goes on after it. `--first 1234 --mutations 1` repeats case 1234.
"""

import argparse
import dataclasses
import itertools
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.config import SOURCE_SIZE
from curation.decode.decoder import Frame, FrameDecoder, UndecodableError, warm_up_decoder
from tests.curation.decode.gif import plain
from tests.curation.decode.gif.generate import MAX_PIXELS
from tests.curation.decode.gif.mutate import make_case

START_S, HANG_S = 300.0, 60.0
"""Longest time for the start of a child, with compilation, and for one case."""
MAX_CRASHES = 20
MEMORY_BYTES = 1 << 28
"""Address space that the cases may use, in addition to what a process has after compilation."""

Check = Callable[[int, int], str | None]
"""Checks the case of a seed and a number; returns what is wrong."""


@dataclasses.dataclass(frozen=True)
class Report:
    """What a run found."""

    failures: list[str]
    seconds: float


def check_case(seed: int, number: int) -> str | None:
    """Decode a file with both decoders; some also resized, or only some frames."""
    data, rng = make_case(seed, number)
    frames, damage = plain.decode(data, MAX_PIXELS)
    difference = compare(data, SOURCE_SIZE, frames, damage)
    if difference is None and number % 8 == 1:
        difference = compare(data, rng.choice((16, 31, 64)), frames, damage)
    if difference is None and number % 8 == 2 and frames:
        difference = compare(data, SOURCE_SIZE, frames, None, {k for k in range(len(frames)) if rng.random() < 0.5})
    return difference


def compare(
    data: bytes, resolution: int, expected: list[plain.Frame], damage: str | None, wanted: set[int] | None = None
) -> str | None:
    """Decode a file; return the first difference from the expected frames and damage."""
    decoder = FrameDecoder(data, resolution, max_pixels=MAX_PIXELS, wanted=wanted)
    indices = range(len(expected)) if wanted is None else sorted(wanted)
    try:
        for frame, index in itertools.zip_longest(decoder, indices):
            if frame is None or frame.index != index:
                return f"frame {frame and frame.index}, expected {index}; damage: {decoder.damage}, expected {damage}"
            if not is_same(frame, expected[index], resolution):
                return f"frame {index} at resolution {resolution} differs"
    except UndecodableError as error:
        return f"undecodable: {error}; expected {len(expected)} frames" if expected else None
    if not expected:
        return "no frame, and no UndecodableError"
    if (decoder.damage is None) != (damage is None):
        return f"damage: {decoder.damage}, expected {damage}"
    return None


def is_same(frame: Frame, expected: plain.Frame, resolution: int) -> bool:
    """Return whether a frame has the expected colours, grey values and duration."""
    rgb, duration_ms = expected
    if resolution != SOURCE_SIZE:
        rgb = resize(rgb, resolution)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return frame.duration_ms == duration_ms and np.array_equal(frame.rgb, rgb) and np.array_equal(frame.grey, grey)


def resize(rgb: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize a picture by multiplication with matrices of weights, the columns first."""
    from curation.decode.lanczos import FRACTION_BITS, compute_weights

    picture = rgb.astype(np.int64)
    for axis in (1, 0):
        size = picture.shape[axis]
        if size == side:
            continue
        matrix = np.zeros((side, size), np.int64)
        for row, start, length, weights in zip(matrix, *compute_weights(size, side), strict=True):
            row[start : start + length] = weights[:length]
        sums = np.moveaxis(np.tensordot(matrix, picture, (1, axis)), 0, axis)
        picture = ((sums + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS).clip(0, 255)
    return picture.astype(np.uint8)


def run(
    seed: int,
    first: int,
    num_cases: int,
    *,
    check: Check = check_case,
    check_bounds: bool = False,
    hang_s: float = HANG_S,
) -> Report:
    """Check cases in child processes, a new one after each crash or hang, up to MAX_CRASHES.

    With `check_bounds`, Numba checks bounds.
    """
    context = multiprocessing.get_context("spawn")
    current = context.Value("q", lock=False)
    failures: list[str] = []
    start, at, end = time.monotonic(), first, first + num_cases
    num_crashes = 0
    while at < end and num_crashes < MAX_CRASHES:
        reader, writer = context.Pipe(duplex=False)
        current.value = -1
        child = context.Process(target=_check_in_child, args=(check, seed, at, end, current, writer))
        with patch.dict(os.environ, NUMBA_BOUNDSCHECK=str(int(check_bounds))):
            child.start()
        writer.close()
        failures += _collect(child, reader, current, hang_s)
        child.join()
        if child.exitcode:
            num_crashes += 1
            failures.append(f"seed {seed} case {current.value}: crash or hang, exit code {child.exitcode}")
        at = max(at, current.value) + 1
    return Report(failures, time.monotonic() - start)


def _collect(child: Any, reader: Any, current: Any, hang_s: float) -> list[str]:
    """Return the failures that a child reports until it ends. Kills it if one case takes `hang_s`."""
    failures: list[str] = []
    seen, since = -1, time.monotonic() + START_S
    while True:
        if reader.poll(0.2):
            try:
                failures.append(reader.recv())
            except EOFError:
                return failures
        if current.value != seen:
            seen, since = current.value, time.monotonic()
        elif time.monotonic() - since > hang_s:
            child.kill()


def _check_in_child(check: Check, seed: int, first: int, end: int, current: Any, writer: Any) -> None:
    from tests.curation.decode.gif.guards import guarded_arrays

    parent = os.getppid()
    warm_up_decoder()
    _limit_memory()
    with guarded_arrays():
        for number in range(first, end):
            if os.getppid() != parent:  # It was killed.
                return
            current.value = number
            try:
                difference = check(seed, number)
            except Exception as error:  # None but UndecodableError is expected.
                difference = f"{type(error).__name__}: {error}"
            if difference:
                writer.send(f"seed {seed} case {number}: {difference}")


def _limit_memory() -> None:
    """Let allocations fail beyond MEMORY_BYTES."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, resource.RLIM_INFINITY))


def main() -> None:
    """Run cases and print the failures."""
    parser = argparse.ArgumentParser(description="Fuzz the GIF decoder.")
    parser.add_argument("--mutations", type=int, default=100_000, help="number of cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--check-bounds", action="store_true", help="let Numba check bounds")
    args = parser.parse_args()
    report = run(args.seed, args.first, args.mutations, check_bounds=args.check_bounds)
    print("\n".join([*report.failures, f"{args.mutations:,} cases in {report.seconds:.0f} s"]))
    raise SystemExit(bool(report.failures))


if __name__ == "__main__":
    main()
