"""Progress on standard error: a tqdm bar on a terminal, a line every 10 seconds elsewhere."""

import sys
import time
from typing import Self, SupportsFloat

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 10.0
_LINE = "{desc}: {n:,} of {total:,}{unit} ({percentage:.0f} %), {rate_noinv_fmt}, {remaining} left"


class ProgressBar:
    """Counts units of work. The rate and the time left are computed from the units counted since it was created."""

    def __init__(self, name: str, total: int, unit: str, *, num_before: int = 0) -> None:
        """Start at `num_before` of `total` units; `unit` is a plural noun."""
        self._name, self._total, self._unit = name, total, f" {unit}"
        self._num_before = self.num_done = num_before
        self._start_s = self._printed_s = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            # The order of the work may be uneven (curation starts with the longest clips), so show the mean rate.
            self._bar = tqdm(
                desc=f"{name:8}", total=total, initial=num_before, unit=self._unit, smoothing=0.0, dynamic_ncols=True
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, n: int = 1, /, **values: SupportsFloat) -> None:
        """Count `n` more units and show `values` beside them, such as loss=0.123."""
        self.num_done += n
        suffix = ", ".join(f"{name} {float(value):.4g}" for name, value in values.items())
        if self._bar is not None:
            self._bar.set_postfix_str(suffix, refresh=False)
            self._bar.update(n)
        elif time.monotonic() - self._printed_s >= _SECONDS_BETWEEN_LINES or self.num_done >= self._total:
            self._print_line(suffix)

    def close(self) -> None:
        """Stop drawing; the bar stays on the terminal."""
        if self._bar is not None:
            self._bar.close()

    def _print_line(self, suffix: str) -> None:
        self._printed_s = time.monotonic()
        line = tqdm.format_meter(
            self.num_done,
            self._total,
            self._printed_s - self._start_s,
            prefix=self._name,
            unit=self._unit,
            bar_format=_LINE,
            initial=self._num_before,
        )
        print(f"{line}, {suffix}" if suffix else line, file=sys.stderr, flush=True)
