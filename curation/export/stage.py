"""Selections -> shards: plan, encode what cannot be reused, pack. Shards that are complete are kept."""

import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from curation.batches import in_batches
from curation.decode.decoder import warm_up_decoder
from curation.decode.probe_results import ProbeResults
from curation.export.completed_shards import find_completed_shard, receipt_path
from curation.export.encode import EncodeResult, EncodeTask, SourceClip, encode_fragment
from curation.export.pack import PackResult, PackTask, compute_plan_digest, pack_shard, shard_path
from curation.export.reuse import ReusablePictures, find_reusable_pictures
from curation.export.shard_plan import PlannedShard, ShardPlan
from curation.flow.table import Measurement
from curation.flow.tasks import lost_clip
from curation.listing.catalog import Catalog
from curation.run.compile_stage import compile_for_workers
from curation.run.context import Run
from curation.run.progress import Bar
from curation.run.quarantine import Incident
from curation.selection.pairs import Selection
from shards.manifest import ShardEntry
from shards.storage.location import Location, list_files, remove_tree

_SHARDS_PER_BATCH = 256
"""Bounds the encoded pictures in the work folder, about 50 MB a shard."""


class ClipsLostError(Exception):
    """Clips were measured, but crashed or timed out in encoding. Caught by the pipeline; never reaches the user."""

    def __init__(self, results: dict[str, Measurement]) -> None:
        super().__init__(", ".join(results))
        self.results = results
        """What replaces their results in the flow table, by clip key."""


def write_shards(
    run: Run, catalog: Catalog, probed: ProbeResults, selections: dict[str, Selection]
) -> dict[str, tuple[ShardEntry, ...]]:
    """Write every shard of every split; return the manifest entries in order. Completed shards are kept.

    Raises ClipsLostError if clips cannot be encoded: the pairs have to be selected again without them.
    """
    plans = {split: ShardPlan(split, selection.pairs, run.config) for split, selection in selections.items()}
    workspace = run.workspace
    workspace.check_lock()
    shards = [(plan, number) for plan in plans.values() for number in range(len(plan))]
    workspace.remove_unplanned_shards({shard_path(workspace.out, plan.split, number) for plan, number in shards})
    pictures = find_reusable_pictures(run, probed)
    planner = _TaskPlanner(run, catalog, probed, pictures)
    entries = planner.find_completed(shards)
    unfinished = [(plan, number) for plan, number in shards if (plan.split, number) not in entries]
    remove_tree(workspace.fragments)
    num_samples = sum(plan.num_samples for plan in plans.values())
    num_samples -= sum(entry.num_samples for entry in entries.values())
    if num_samples:
        compile_for_workers(run, warm_up_decoder, "the decoder")
    with run.progress.stage("export", num_samples, "samples") as bar:
        for shards_of_batch in in_batches(unfinished, _SHARDS_PER_BATCH):
            batch = _Batch(shards_of_batch, planner, bar)
            for result in itertools.chain(
                run.workers.map(run_task, batch.tasks()), run.workers.map(run_task, batch.pack_tasks())
            ):
                batch.record(result)
            if batch.lost:
                raise ClipsLostError(
                    {
                        incident.clip_key: lost_clip(probed[incident.clip_key], incident.failure, run.config)
                        for incident in batch.lost
                    }
                )
            entries |= batch.entries
            # Only after the whole batch: Ray may run a finished pack task again if its worker is lost.
            remove_tree(workspace.fragments)
    return {
        split: tuple(entries[split, number] for number in range(len(plan)))
        for split, plan in plans.items()
        if len(plan)
    }


def run_task(task: EncodeTask | PackTask) -> EncodeResult | PackResult:
    """Run an encoding or a packing task."""
    return encode_fragment(task) if isinstance(task, EncodeTask) else pack_shard(task)


class _Batch:
    """A batch of shards in progress. Each is packed as soon as its last fragment is encoded."""

    def __init__(self, shards: Iterable[tuple[ShardPlan, int]], planner: "_TaskPlanner", bar: Bar) -> None:
        self.entries: dict[tuple[str, int], ShardEntry] = {}
        """Packed shards, by split and number."""
        self.lost: list[Incident] = []
        """Clips that cannot be encoded."""
        self._shards = shards
        self._planner = planner
        self._bar = bar
        self._pack_tasks: dict[tuple[str, int], PackTask] = {}
        self._num_missing: dict[tuple[str, int], int] = {}
        """Fragments of a shard that are not encoded yet."""

    def tasks(self) -> Iterator[EncodeTask | PackTask]:
        """Yield the encoding tasks of all shards, and the packing tasks of those that become ready in between."""
        for plan, number in self._shards:
            pack, encodes = self._planner.make_tasks(plan[number])
            self._pack_tasks[pack.shard.key] = pack
            self._num_missing[pack.shard.key] = len(encodes)
            self._bar.update(pack.shard.num_samples - sum(task.num_samples for task in encodes))
            for task in encodes:
                yield from self.pack_tasks()
                yield task

    def pack_tasks(self) -> Iterator[PackTask]:
        """Yield the packing tasks of shards whose fragments are all encoded."""
        for key in [key for key, num_missing in self._num_missing.items() if not num_missing]:
            del self._num_missing[key]
            yield self._pack_tasks.pop(key)

    def record(self, result: EncodeResult | PackResult) -> None:
        """Record the result of a task."""
        if isinstance(result, PackResult):
            self.entries[result.shard] = result.entry
            return
        self._bar.update(result.num_samples)
        self.lost += result.failures
        if not result.failures:
            self._num_missing[result.shard] -= 1


class _TaskPlanner:
    """Turns planned shards into tasks."""

    def __init__(self, run: Run, catalog: Catalog, probed: ProbeResults, pictures: ReusablePictures) -> None:
        self._config = run.config
        self._workspace = run.workspace
        self._catalog = catalog
        self._probed = probed
        self._pictures = pictures

    def find_completed(self, shards: Iterable[tuple[ShardPlan, int]]) -> dict[tuple[str, int], ShardEntry]:
        """Find the shards that an earlier run completed by the same plan, by split and number."""
        # Usually there is none, and a shard without a record need not be planned.
        recorded = {path.name for path in list_files(self._workspace.receipts, "*.json")}
        candidates = (shard for shard in shards if self._receipt_path(shard[0].split, shard[1]).name in recorded)
        entries: dict[tuple[str, int], ShardEntry] = {}
        with ThreadPoolExecutor() as threads:
            for batch in in_batches(candidates, _SHARDS_PER_BATCH):
                for (plan, number), entry in zip(batch, threads.map(self._find_entry, batch), strict=True):
                    if entry:
                        entries[plan.split, number] = entry
        return entries

    def _find_entry(self, shard: tuple[ShardPlan, int]) -> ShardEntry | None:
        plan, number = shard
        planned = plan[number]
        digest = compute_plan_digest(planned, self._sources(planned), self._config)
        path = shard_path(self._workspace.out, plan.split, number)
        return find_completed_shard(path, self._receipt_path(plan.split, number), digest)

    def make_tasks(self, shard: PlannedShard) -> tuple[PackTask, list[EncodeTask]]:
        """Make the packing task of a shard, and an encoding task for each fragment with pictures to encode."""
        sources = self._sources(shard)
        reusable = self._pictures.find(sources)
        frames = {planned.clip_key: planned.frames for planned in shard.clips}
        encodes = []
        for number, clips in enumerate(shard.split_into_fragments()):
            missing = {
                planned.clip_key: tuple(frame for frame in planned.frames if (planned.clip_key, frame) not in reusable)
                for planned in clips
            }
            if any(missing.values()):
                encodes.append(
                    EncodeTask(
                        shard=shard.key,
                        num_samples=sum(len(planned.pairs) for planned in clips),
                        clips=tuple((sources[key], indices) for key, indices in missing.items() if indices),
                        config=self._config,
                        fragment=self._workspace.fragments / f"{shard.split}-{shard.number:05d}-{number:03d}.arrow",
                        quarantine=self._workspace.quarantine,
                    )
                )
        pack = PackTask(
            shard=shard,
            clips={key: source.clip for key, source in sources.items()},
            config=self._config,
            fragments=tuple(task.fragment for task in encodes),
            reused={picture: span for picture, span in reusable.items() if picture[1] in frames[picture[0]]},
            path=shard_path(self._workspace.out, shard.split, shard.number),
            receipt=self._receipt_path(shard.split, shard.number),
            plan_digest=compute_plan_digest(shard, sources, self._config),
        )
        return pack, encodes

    def _receipt_path(self, split: str, number: int) -> Location:
        return receipt_path(self._workspace.receipts, split, number)

    def _sources(self, shard: PlannedShard) -> dict[str, SourceClip]:
        """Return the source clips of a shard, by clip key."""
        sources = {}
        for planned in shard.clips:
            clip = self._probed[planned.clip_key]
            sources[planned.clip_key] = SourceClip(
                clip=self._catalog.clips[planned.clip_key], path=clip.path, sha256=clip.sha256 or ""
            )
        return sources
