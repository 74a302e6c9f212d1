"""Progress of a curation run: a bar and a timer for each stage."""

import collections
import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterable, Iterator

from curation.run.status import StatusFile
from shards.interface.progress import ProgressBar
from shards.schema import Verdict


class Bar:
    """Count the units that a stage has done, and show them if a progress bar is given."""

    def __init__(self, shown: ProgressBar | None, on_update: Callable[[], None]) -> None:
        self.num_done = 0
        self._shown = shown
        self._on_update = on_update

    def update(self, n: int, /) -> None:
        """Count `n` more units."""
        self.num_done += n
        if self._shown:
            self._shown.update(n)
        self._on_update()


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageTime:
    """Duration and amount of work of one stage."""

    name: str
    seconds: float = 0.0
    num_done: int = 0
    """Units counted; 0 if the stage is only timed."""
    unit: str = ""
    """What was counted, in the plural."""


class Progress:
    """Progress bars and durations of the stages of a run."""

    def __init__(self, *, quiet: bool = False, command: str = "") -> None:
        """Start without stages. `command`: the command line of the run, which `pix2gif status` shows."""
        self.command = command
        self._stages: dict[str, StageTime] = {}
        self._quiet = quiet
        self._noted: set[str] = set()
        self._status: StatusFile | None = None

    @property
    def stages(self) -> tuple[StageTime, ...]:
        """The stages that have ended, in the order of their first start."""
        return tuple(self._stages.values())

    @property
    def seconds(self) -> dict[str, float]:
        """Duration of each stage, by name."""
        return {stage.name: stage.seconds for stage in self.stages}

    def write_to(self, status: StatusFile | None) -> None:
        """Write the progress of all further stages to a file; with None, no longer."""
        self._status = status

    def count_verdicts(self, verdicts: Iterable[Verdict | None]) -> None:
        """Count the clips that got a verdict, for `pix2gif status`."""
        if self._status:
            self._status.count_verdicts(collections.Counter(filter(None, verdicts)))

    def note(self, line: str) -> None:
        """Print a line to standard error, once in a run."""
        if not self._quiet and line not in self._noted:
            print(line, file=sys.stderr, flush=True)
        self._noted.add(line)

    @contextlib.contextmanager
    def stage(self, name: str, total: int = 0, unit: str = "") -> Iterator[Bar]:
        """Time a stage and show its progress; without a total it is only timed. A repeated stage adds up.

        `unit` is a plural noun.
        """
        start_s = time.monotonic()
        shown = None if self._quiet or not total else ProgressBar(name, total, unit)
        bar = Bar(shown, lambda: write(now=bar.num_done >= total))

        def write(*, now: bool) -> None:
            if self._status:
                stage = {"stage": name, "stage_seconds": time.monotonic() - start_s, "num_done": bar.num_done}
                self._status.write({**stage, "total": total, "unit": unit, "stages": self.seconds}, now=now)

        write(now=True)
        try:
            with shown or contextlib.nullcontext():
                yield bar
        finally:
            before = self._stages.get(name, StageTime(name=name))
            self._stages[name] = StageTime(
                name=name,
                seconds=before.seconds + time.monotonic() - start_s,
                num_done=before.num_done + bar.num_done,
                unit=unit or before.unit,
            )
            write(now=True)
