"""What a person sees while a run goes on."""

import sys
import time
from typing import Any, SupportsFloat

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 10.0
_LINE = "{desc}: {n:,} of {total:,}{unit} ({percentage:.0f} %), {rate_noinv_fmt}, {remaining} left"


class ProgressBar:
    """How far a run is, with an estimate: a bar on a terminal, a line now and then in a log."""

    def __init__(self, total: int, *, done: int = 0, name: str = "train", unit: str = "steps") -> None:
        """Begin at `done` of `total`; the estimate is made of what is done from here on."""
        self._name, self._total, self._unit = name, total, f" {unit}"
        self._first = done
        self._start_s = self._printed_s = time.monotonic()
        self._bar: tqdm[Any] | None = None
        if sys.stderr.isatty():
            self._bar = tqdm(desc=name, total=total, initial=done, unit=self._unit, dynamic_ncols=True)

    def show(self, done: int, **values: SupportsFloat) -> None:
        """Tell that it is at `done`, and what is to be read beside it (loss=0.123)."""
        told = ", ".join(f"{name} {float(value):.4g}" for name, value in values.items())
        if self._bar is not None:
            self._bar.set_postfix_str(told, refresh=False)
            self._bar.update(done - self._bar.n)
        elif time.monotonic() - self._printed_s >= _SECONDS_BETWEEN_LINES or done >= self._total:
            self._print(done, told)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()

    def _print(self, done: int, told: str) -> None:
        self._printed_s = time.monotonic()
        line = tqdm.format_meter(
            done,
            self._total,
            self._printed_s - self._start_s,
            prefix=self._name,
            unit=self._unit,
            bar_format=_LINE,
            initial=self._first,
        )
        print(f"{line}, {told}" if told else line, file=sys.stderr, flush=True)
