"""The probing stage: every clip's bytes are looked at once, some while Ray starts, the rest by workers."""

import functools
import itertools

from curation.batches import in_batches
from curation.config import CurationConfig
from curation.decode.probe import ProbedClip, ProbeTask, probe_clips, probe_without_sandbox
from curation.decode.probe_results import ProbeResults
from curation.fetch.stage import Arrivals
from curation.run.meanwhile import MOST_CHORES, Chore
from curation.run.progress import Bar, Progress
from curation.run.workers import Workers

_CLIPS_PER_PROBE = 64


class ProbeStage:
    """What is left to look at, and what was found so far."""

    def __init__(self, arrivals: Arrivals, probed: ProbeResults, config: CurationConfig) -> None:
        """Clips that could not be had keep their verdict; all else will be entered in `probed`."""
        self.probed = probed
        self._num_clips = arrivals.num_clips
        self._num_probed = 0
        self._offered: list[ProbeTask] = []
        self._tasks = (ProbeTask(clips=clips, config=config) for clips in in_batches(arrivals.clips, _CLIPS_PER_PROBE))
        for key, (verdict, detail) in arrivals.failures.items():
            probed.record(ProbedClip(clip_key=key, verdict=verdict, detail=detail))

    def chores(self, bar: Bar) -> list[Chore]:
        """Offer clips to be looked at before there are workers."""
        self._offered = list(itertools.islice(self._tasks, MOST_CHORES))
        enter = functools.partial(self._enter_first, bar)
        return [Chore(function=probe_without_sandbox, task=task, enter=enter) for task in self._offered]

    def _enter_first(self, bar: Bar, found: list[ProbedClip]) -> None:
        self._offered.pop(0)  # They are done in order.
        self._enter(found, bar)

    def _enter(self, found: list[ProbedClip], bar: Bar) -> None:
        for one in found:
            self.probed.record(one)
        self._num_probed += len(found)
        bar.update(len(found))

    def finish(self, progress: Progress, workers: Workers) -> ProbeResults:
        """Have workers look at what is left."""
        if self._num_probed < self._num_clips:
            with progress.stage("probe", self._num_clips, "GIFs", num_before=self._num_probed) as bar:
                for found in workers.map(probe_clips, itertools.chain(self._offered, self._tasks)):
                    self._enter(found, bar)
        return self.probed
