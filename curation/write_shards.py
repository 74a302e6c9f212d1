"""Selections -> shards on disk, with what an earlier run finished left as it is."""

import collections
from concurrent.futures import ThreadPoolExecutor

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
from curation.probe import ProbedClip
from curation.progress import Progress
from curation.ready import ReadyPictures
from curation.receipts import receipt_path
from curation.selection import Selection
from curation.shard_plan import PlannedShard, plan_shards
from curation.workspace import Workspace
from shards.location import Location, remove_tree
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
    probed: dict[str, ProbedClip],
    selections: dict[str, Selection],
    ready: ReadyPictures,
    workspace: Workspace,
    config: CurationConfig,
    progress: Progress,
    workers: Workers,
) -> dict[str, tuple[ShardEntry, ...]]:
    """Write every shard of every split; returns their entries in order.

    Raises ClipsLostError where clips cannot be encoded: what is selected must be decided anew, without them.
    """
    planned = [
        shard for split, selection in selections.items() for shard in plan_shards(split, selection.pairs, config)
    ]
    keys = {clip.clip_key for shard in planned for clip in shard.clips}
    sources = {
        key: SourceClip(clip=catalog.clips[key], path=probed[key].path, sha256=probed[key].sha256 or "") for key in keys
    }
    workspace.drop_stray_shards({shard_path(workspace.out, shard) for shard in planned})
    entries: dict[Location, ShardEntry] = {}
    unfinished: list[PackTask] = []
    packs = [_plan_pack(shard, sources, workspace, config) for shard in planned]
    with ThreadPoolExecutor() as threads:
        found = threads.map(lambda pack: finished_shard(pack.path, pack.receipt, pack.plan_digest), packs)
        for pack, entry in zip(packs, found, strict=True):
            if entry:
                entries[pack.path] = entry
            else:
                unfinished.append(pack)
    remove_tree(workspace.fragments)
    with progress.stage("export", sum(pack.shard.num_samples for pack in unfinished), "samples") as bar:
        for first in range(0, len(unfinished), _SHARDS_AT_A_TIME):
            batch = unfinished[first : first + _SHARDS_AT_A_TIME]
            encodes = [task for pack in batch for task in _encode_tasks(pack, sources, ready, workspace)]
            lost: dict[str, Measurement] = {}
            for encoded in workers.map(encode_fragment, encodes):
                bar.update(encoded.num_samples)
                lost |= {one.clip_key: lost_clip(probed[one.clip_key], one.failure, config) for one in encoded.failures}
            if lost:
                raise ClipsLostError(lost)
            entries.update(workers.map(pack_shard, batch))
    by_split: dict[str, list[ShardEntry]] = collections.defaultdict(list)
    for shard in planned:
        by_split[shard.split].append(entries[shard_path(workspace.out, shard)])
    return {split: tuple(in_order) for split, in_order in by_split.items()}


def _plan_pack(
    shard: PlannedShard, sources: dict[str, SourceClip], workspace: Workspace, config: CurationConfig
) -> PackTask:
    name = f"{shard.split}-{shard.number:05d}"
    return PackTask(
        shard=shard,
        config=config,
        fragments=tuple(
            workspace.fragments / f"{name}-{number:03d}.arrow" for number, _ in enumerate(shard.fragments())
        ),
        path=shard_path(workspace.out, shard),
        receipt=receipt_path(workspace.receipts, shard.split, shard.number),
        plan_digest=plan_digest(shard, sources, config),
    )


def _encode_tasks(
    pack: PackTask, sources: dict[str, SourceClip], ready: ReadyPictures, workspace: Workspace
) -> list[EncodeTask]:
    return [
        EncodeTask(
            clips=tuple((planned, sources[planned.clip_key]) for planned in clips),
            config=pack.config,
            fragment=fragment,
            quarantine=workspace.quarantine,
            ready=ready.of(planned.clip_key for planned in clips),
        )
        for clips, fragment in zip(pack.shard.fragments(), pack.fragments, strict=True)
    ]
