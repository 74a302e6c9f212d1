"""What a person sees while it runs: one bar a stage, plain lines where the output is no terminal."""

import contextlib
import dataclasses
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

    def __init__(self, name: str, total: int, unit: str, num_before: int) -> None:
        self._name, self._total, self._unit = name, total, unit
        self._before = self._done = num_before
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
            self._done, self._total, elapsed, prefix=self._name, unit=f" {self._unit}", bar_format=_LINE,
            initial=self._before,
        )  # fmt: skip
        print(line, file=sys.stderr, flush=True)


class Silence:
    """A bar that nobody sees."""

    def update(self, n: int, /) -> None:
        """Do nothing."""


class Counter:
    """A bar that remembers how much it was told."""

    def __init__(self, bar: Bar) -> None:
        self.num_done = 0
        self._bar = bar

    def update(self, n: int, /) -> None:
        """Count, and pass it on."""
        self.num_done += n
        self._bar.update(n)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageTime:
    """How long a stage took, and for what."""

    name: str
    seconds: float
    num_done: int = 0
    """0 for a stage that is only timed."""
    unit: str = ""
    """What was counted, in the plural."""


class Progress:
    """Bars for the stages of a run, and how long each of them took."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        """By stage, in the order in which they ran."""
        self._done: dict[str, tuple[int, str]] = {}
        self._quiet = quiet

    @property
    def stages(self) -> tuple[StageTime, ...]:
        """Each stage so far, in the order in which they ran."""
        return tuple(
            StageTime(name=name, seconds=seconds, num_done=self._done[name][0], unit=self._done[name][1])
            for name, seconds in self.seconds.items()
        )

    @contextlib.contextmanager
    def stage(self, name: str, total: int = 0, unit: str = "", num_before: int = 0) -> Iterator[Bar]:
        """Time a stage and show its progress in `unit`s of `total`; without a total it is only timed.

        `num_before` were done before it began: they are shown as done, and neither counted nor in the speed.
        """
        start = time.monotonic()
        with self._bar(name, total, unit, num_before) as bar:
            counter = Counter(bar)
            try:
                yield counter
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start
                num_told, unit_told = self._done.get(name, (0, ""))
                self._done[name] = (num_told + counter.num_done, unit or unit_told)

    def _bar(self, name: str, total: int, unit: str, num_before: int) -> contextlib.AbstractContextManager[Bar]:
        if self._quiet or total <= num_before:
            return contextlib.nullcontext(Silence())
        if not sys.stderr.isatty():
            return contextlib.nullcontext(Lines(name, total, unit, num_before))
        # Work is handed out the longest first, so the mean speed tells more than the latest.
        return tqdm(
            desc=f"{name:8}", total=total, initial=num_before, unit=f" {unit}", smoothing=0.0, dynamic_ncols=True
        )
