"""The probing stage: workers read every clip's bytes once and scan its header."""

from collections.abc import Iterator
from pathlib import Path

from curation.batches import in_batches
from curation.decode.probe import ProbedClip, ProbeTask, probe_clips
from curation.decode.probe_results import ProbeResults
from curation.errors import ListingError
from curation.fetch.stage import FetchedClips
from curation.options import RunOptions
from curation.run.context import Run
from shards.schema import Verdict

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


def check_any_arrived(probed: ProbeResults, options: RunOptions) -> None:
    """Raise ListingError if no clip could be read: an empty data set would look like success."""
    failed = probed.verdicts.find(Verdict.FETCH_FAILED)
    if len(failed) == 0 or len(failed) < len(probed):
        return
    where, advice = options.listing, "check where its paths start, or name their folder by --gifs"
    if options.gifs:
        where, advice = f"--gifs {options.gifs}", "check the folder and --gifs-by"
        archives = [pattern for pattern in ("*.zip", "*.tar") if any(Path(options.gifs).glob(pattern))]
        if archives:
            advice = f"it has archives, which --gifs '{options.gifs}/{archives[0]}' reads"
    raise ListingError(
        f"none of the {len(probed):,} GIFs of {where} can be read; the first: {probed.at(0).detail}; {advice}"
    )


def _list_tasks(run: Run, fetched: FetchedClips) -> Iterator[ProbeTask]:
    return (ProbeTask(clips=clips, config=run.config) for clips in in_batches(fetched.clips, _CLIPS_PER_TASK))
