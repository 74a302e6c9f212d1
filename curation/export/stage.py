"""Selections -> shards on disk, with what an earlier run finished left as it is."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from curation.batches import in_batches
from curation.config import CurationConfig
from curation.decode.probe_results import ProbeResults
from curation.export.completed_shards import receipt_path
from curation.export.encode import Encoded, EncodeTask, SourceClip, encode_fragment
from curation.export.pack import Packed, PackTask, finished_shard, pack_shard, plan_digest, shard_path
from curation.export.reuse import ReadyPictures
from curation.export.shard_plan import PlannedShard, ShardPlan
from curation.flow.table import Measurement
from curation.flow.tasks import lost_clip
from curation.listing.catalog import Catalog
from curation.run.progress import Bar, Progress
from curation.run.quarantine import Incident
from curation.run.workers import Workers
from curation.run.workspace import Workspace
from curation.selection.pairs import Selection
from shards.location import Location, list_files, remove_tree
from shards.manifest import ShardEntry

_SHARDS_AT_A_TIME = 256
"""Encoded pictures of so many shards lie in the work folder at most, about 50 MB each."""


class ClipsLostError(Exception):
    """Clips were measured but broke the sandbox when they were to be encoded. Never reaches the user."""

    def __init__(self, failures: dict[str, Measurement]) -> None:
        super().__init__(", ".join(failures))
        self.failures = failures
        """What is to stand for them in the flow table, by clip key."""


def write_shards(
    catalog: Catalog,
    probed: ProbeResults,
    selections: dict[str, Selection],
    ready: ReadyPictures,
    workspace: Workspace,
    config: CurationConfig,
    progress: Progress,
    workers: Workers,
) -> dict[str, tuple[ShardEntry, ...]]:
    """Write every shard of every split; returns their entries in order.

    Shards are planned some at a time. Raises ClipsLostError where clips cannot be encoded: what is selected must be
    decided anew, without them.
    """
    plans = {split: ShardPlan(split, selection.pairs, config) for split, selection in selections.items()}
    planner = _Planner(catalog, probed, ready, workspace, config)
    shards = [(plan, number) for plan in plans.values() for number in range(len(plan))]
    workspace.drop_stray_shards({shard_path(workspace.out, plan.split, number) for plan, number in shards})
    entries = planner.find_finished(shards)
    unfinished = [(plan, number) for plan, number in shards if (plan.split, number) not in entries]
    remove_tree(workspace.fragments)
    num_samples = sum(plan.num_samples for plan in plans.values()) - sum(one.num_samples for one in entries.values())
    with progress.stage("export", num_samples, "samples") as bar:
        for some in in_batches(unfinished, _SHARDS_AT_A_TIME):
            batch = _Batch(some, planner, bar)
            for made in workers.map(make, batch.tasks()):
                batch.enter(made)
            for made in workers.map(make, batch.tasks_left()):
                batch.enter(made)
            if batch.lost:
                raise ClipsLostError(
                    {one.clip_key: lost_clip(probed[one.clip_key], one.failure, config) for one in batch.lost}
                )
            entries |= batch.entries
            # Not before all are packed: a worker that is lost after its work has it done again by another one.
            remove_tree(workspace.fragments)
    return {
        split: tuple(entries[split, number] for number in range(len(plan)))
        for split, plan in plans.items()
        if len(plan)
    }


def make(task: EncodeTask | PackTask) -> Encoded | Packed:
    """Do a task of either kind."""
    return encode_fragment(task) if isinstance(task, EncodeTask) else pack_shard(task)


class _Batch:
    """Some shards under way: each is packed as soon as the last of its fragments is encoded."""

    def __init__(self, shards: Iterable[tuple[ShardPlan, int]], planner: "_Planner", bar: Bar) -> None:
        self.entries: dict[tuple[str, int], ShardEntry] = {}
        """Of the shards that are packed, by split and number."""
        self.lost: list[Incident] = []
        """Clips that cannot be encoded."""
        self._shards = shards
        self._planner = planner
        self._bar = bar
        self._packs: dict[tuple[str, int], PackTask] = {}
        self._num_missing: dict[tuple[str, int], int] = {}
        """Fragments that a shard waits for."""

    def tasks(self) -> Iterator[EncodeTask | PackTask]:
        """Plan while workers are busy: the encoding of all shards, and the packing of those that are whole by then."""
        for plan, number in self._shards:
            pack, encodes = self._planner.tasks(plan[number])
            self._packs[pack.shard.key] = pack
            self._num_missing[pack.shard.key] = len(encodes)
            self._bar.update(pack.shard.num_samples - sum(task.num_samples for task in encodes))
            for task in encodes:
                yield from self.tasks_left()
                yield task

    def tasks_left(self) -> Iterator[PackTask]:
        """Give the packing of shards that are whole and not yet packed."""
        for name in [name for name, num_missing in self._num_missing.items() if not num_missing]:
            del self._num_missing[name]
            yield self._packs.pop(name)

    def enter(self, made: Encoded | Packed) -> None:
        """Take what a task came to."""
        if isinstance(made, Packed):
            self.entries[made.shard] = made.entry
            return
        self._bar.update(made.num_samples)
        self.lost += made.failures
        if not made.failures:
            self._num_missing[made.shard] -= 1


class _Planner:
    """Turns planned shards into tasks."""

    def __init__(
        self, catalog: Catalog, probed: ProbeResults, ready: ReadyPictures, workspace: Workspace, config: CurationConfig
    ) -> None:
        self._catalog = catalog
        self._probed = probed
        self._ready = ready
        self._workspace = workspace
        self._config = config

    def find_finished(self, shards: Iterable[tuple[ShardPlan, int]]) -> dict[tuple[str, int], ShardEntry]:
        """Find the shards that an earlier run made to the same plan, by split and number."""
        # Most often there is none, and what is not there need not be planned to be told from another.
        noted = {path.name for path in list_files(self._workspace.receipts, "*.json")}
        named = (one for one in shards if receipt_path(self._workspace.receipts, one[0].split, one[1]).name in noted)
        found: dict[tuple[str, int], ShardEntry] = {}
        with ThreadPoolExecutor() as threads:
            for some in in_batches(named, _SHARDS_AT_A_TIME):
                for (plan, number), entry in zip(some, threads.map(self._find_one, some), strict=True):
                    if entry:
                        found[plan.split, number] = entry
        return found

    def _find_one(self, shard: tuple[ShardPlan, int]) -> ShardEntry | None:
        planned = shard[0][shard[1]]
        digest = plan_digest(planned, self._sources(planned), self._config)
        return finished_shard(self._path(planned), self._receipt(planned), digest)

    def tasks(self, shard: PlannedShard) -> tuple[PackTask, list[EncodeTask]]:
        """Plan the packing of a shard, and the encoding of what does not lie ready, fragment by fragment."""
        sources = self._sources(shard)
        ready = self._ready.of(sources)
        wanted = {planned.clip_key: planned.frames for planned in shard.clips}
        encodes = []
        for number, clips in enumerate(shard.fragments()):
            missing = {
                planned.clip_key: tuple(
                    frame for frame in wanted[planned.clip_key] if (planned.clip_key, frame) not in ready
                )
                for planned in clips
            }
            if any(missing.values()):
                encodes.append(
                    EncodeTask(
                        shard=shard.key,
                        num_samples=sum(len(planned.pairs) for planned in clips),
                        clips=tuple((sources[key], frames) for key, frames in missing.items() if frames),
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
            ready={picture: span for picture, span in ready.items() if picture[1] in wanted[picture[0]]},
            path=self._path(shard),
            receipt=self._receipt(shard),
            plan_digest=plan_digest(shard, sources, self._config),
        )
        return pack, encodes

    def _path(self, shard: PlannedShard) -> Location:
        return shard_path(self._workspace.out, shard.split, shard.number)

    def _receipt(self, shard: PlannedShard) -> Location:
        return receipt_path(self._workspace.receipts, shard.split, shard.number)

    def _sources(self, shard: PlannedShard) -> dict[str, SourceClip]:
        """Tell where the clips of a shard lie, by key."""
        probed = {planned.clip_key: self._probed[planned.clip_key] for planned in shard.clips}
        return {
            key: SourceClip(clip=self._catalog.clips[key], path=one.path, sha256=one.sha256 or "")
            for key, one in probed.items()
        }
