"""The probing stage: workers read every clip's bytes once and scan its header."""

from collections.abc import Iterator

from curation.batches import in_batches
from curation.decode.probe import ProbedClip, ProbeTask, probe_clips
from curation.decode.probe_results import ProbeResults
from curation.fetch.stage import FetchedClips
from curation.run.context import Run

_CLIPS_PER_TASK = 64


def probe_all(run: Run, fetched: FetchedClips, probed: ProbeResults) -> ProbeResults:
    """Probe every clip that arrived and add the results to `probed`; clips that did not keep their verdict."""
    for key, (verdict, detail) in fetched.failures.items():
        probed.record(ProbedClip(clip_key=key, verdict=verdict, detail=detail))
    with run.progress.stage("probe", fetched.num_clips, "GIFs") as bar:
        for results in run.workers.map(probe_clips, _list_tasks(run, fetched)):
            for result in results:
                probed.record(result)
            run.progress.count_verdicts(result.verdict for result in results)
            bar.update(len(results))
    return probed


def _list_tasks(run: Run, fetched: FetchedClips) -> Iterator[ProbeTask]:
    return (ProbeTask(clips=clips, config=run.config) for clips in in_batches(fetched.clips, _CLIPS_PER_TASK))
