"""Progress of a curation run: one bar a stage, and how long each stage took."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import Protocol

from shards.progress import ProgressBar


class Bar(Protocol):
    """Something that counts."""

    def update(self, n: int, /) -> object:
        """Tell that `n` more units are done."""
        ...


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
        return ProgressBar(name, total, unit, num_before=num_before)
