"""What a person sees while it runs: one bar a stage, plain lines where the output is no terminal."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Protocol

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 10.0
_LINE = "{desc}: {n:,} of {total:,}{unit} ({percentage:.0f} %), {rate_noinv_fmt}, {remaining} left"


class Bar(Protocol):
    """Something that counts."""

    def update(self, n: int, /) -> object:
        """Tell that `n` more units are done."""
        ...


class Lines:
    """A bar for logs: a line now and then instead of one that is drawn over."""

    def __init__(self, name: str, total: int, unit: str) -> None:
        self._name, self._total, self._unit = name, total, unit
        self._done = 0
        self._start = self._printed = time.monotonic()

    def update(self, n: int, /) -> None:
        """Count, and print a line where the last one is some time ago."""
        self._done += n
        if time.monotonic() - self._printed >= _SECONDS_BETWEEN_LINES or self._done >= self._total:
            self.print()

    def print(self) -> None:
        """Print how far it is."""
        self._printed = time.monotonic()
        elapsed = self._printed - self._start
        line = tqdm.format_meter(
            self._done, self._total, elapsed, prefix=self._name, unit=f" {self._unit}", bar_format=_LINE
        )
        print(line, file=sys.stderr, flush=True)


class Silence:
    """A bar that nobody sees."""

    def update(self, n: int, /) -> None:
        """Do nothing."""


class Progress:
    """Bars for the stages of a run, and how long each of them took."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        """By stage, in the order in which they ran."""
        self._quiet = quiet

    @contextlib.contextmanager
    def stage(self, name: str, total: int = 0, unit: str = "") -> Iterator[Bar]:
        """Time a stage and show its progress in `unit`s of `total`; without a total it is only timed."""
        start = time.monotonic()
        try:
            with self._bar(name, total, unit) as bar:
                yield bar
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start

    def _bar(self, name: str, total: int, unit: str) -> contextlib.AbstractContextManager[Bar]:
        if self._quiet or not total:
            return contextlib.nullcontext(Silence())
        if not sys.stderr.isatty():
            return contextlib.nullcontext(Lines(name, total, unit))
        # Work is handed out the longest first, so the mean speed tells more than the latest.
        return tqdm(desc=f"{name:8}", total=total, unit=f" {unit}", smoothing=0.0, dynamic_ncols=True)
