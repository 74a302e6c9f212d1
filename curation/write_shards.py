"""Selections -> shards on disk, with what an earlier run finished left as it is."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from curation.batches import in_batches
from curation.catalog import Catalog
from curation.cluster import Workers
from curation.config import CurationConfig
from curation.export import (
    EncodeTask,
    PackTask,
    SourceClip,
    encode_fragment,
    finished_shard,
    pack_shard,
    plan_digest,
    shard_path,
)
from curation.flow_table import Measurement
from curation.flow_tasks import lost_clip
from curation.found import Probed
from curation.progress import Progress
from curation.ready import ReadyPictures
from curation.receipts import receipt_path
from curation.selection import Selection
from curation.shard_plan import PlannedShard, ShardPlan
from curation.workspace import Workspace
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
    probed: Probed,
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
            packs: list[PackTask] = []
            lost: dict[str, Measurement] = {}
            for encoded in workers.map(encode_fragment, planner.encodes(some, packs)):
                bar.update(encoded.num_samples)
                lost |= {one.clip_key: lost_clip(probed[one.clip_key], one.failure, config) for one in encoded.failures}
            if lost:
                raise ClipsLostError(lost)
            for shard, entry in workers.map(pack_shard, packs):
                entries[shard] = entry
            # Not before all are packed: a worker that is lost after its work has it done again by another one.
            remove_tree(workspace.fragments)
    return {
        split: tuple(entries[split, number] for number in range(len(plan)))
        for split, plan in plans.items()
        if len(plan)
    }


class _Planner:
    """Turns planned shards into tasks."""

    def __init__(
        self, catalog: Catalog, probed: Probed, ready: ReadyPictures, workspace: Workspace, config: CurationConfig
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
        named = (one for one in shards if self._receipt(one[0].split, one[1]).name in noted)
        found: dict[tuple[str, int], ShardEntry] = {}
        with ThreadPoolExecutor() as threads:
            for some in in_batches(named, _SHARDS_AT_A_TIME):
                for (plan, number), entry in zip(some, threads.map(self._find_one, some), strict=True):
                    if entry:
                        found[plan.split, number] = entry
        return found

    def _find_one(self, shard: tuple[ShardPlan, int]) -> ShardEntry | None:
        planned = shard[0][shard[1]]
        pack = self.plan(planned, self._sources(planned))
        return finished_shard(pack.path, pack.receipt, pack.plan_digest)

    def plan(self, shard: PlannedShard, sources: dict[str, SourceClip]) -> PackTask:
        """Plan the packing of a shard."""
        name = f"{shard.split}-{shard.number:05d}"
        fragments = enumerate(shard.fragments())
        return PackTask(
            shard=shard,
            config=self._config,
            fragments=tuple(self._workspace.fragments / f"{name}-{number:03d}.arrow" for number, _ in fragments),
            path=shard_path(self._workspace.out, shard.split, shard.number),
            receipt=self._receipt(shard.split, shard.number),
            plan_digest=plan_digest(shard, sources, self._config),
        )

    def encodes(self, shards: Iterable[tuple[ShardPlan, int]], packs: list[PackTask]) -> Iterator[EncodeTask]:
        """Plan the encoding of shards, fragment by fragment, while workers are busy; adds their packing to `packs`."""
        for plan, number in shards:
            shard = plan[number]
            sources = self._sources(shard)
            pack = self.plan(shard, sources)
            packs.append(pack)
            for clips, fragment in zip(pack.shard.fragments(), pack.fragments, strict=True):
                yield EncodeTask(
                    clips=tuple((planned, sources[planned.clip_key]) for planned in clips),
                    config=pack.config,
                    fragment=fragment,
                    quarantine=self._workspace.quarantine,
                    ready=self._ready.of(planned.clip_key for planned in clips),
                )

    def _receipt(self, split: str, number: int) -> Location:
        return receipt_path(self._workspace.receipts, split, number)

    def _sources(self, shard: PlannedShard) -> dict[str, SourceClip]:
        """Tell where the clips of a shard lie, by key."""
        probed = {planned.clip_key: self._probed[planned.clip_key] for planned in shard.clips}
        return {
            key: SourceClip(clip=self._catalog.clips[key], path=one.path, sha256=one.sha256 or "")
            for key, one in probed.items()
        }
