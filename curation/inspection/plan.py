"""Finished data set, new thresholds -> counts of what a new selection would keep. Writes nothing.

The counts come from the same functions that select pairs, so `pix2gif resplit` keeps exactly these pairs.
One exception: if splits change, resplit also removes near-duplicates across the new splits.
"""

import collections
import dataclasses
import math

from curation.config import CurationConfig
from curation.export.dataset import MEASURED, FinishedDataset
from curation.listing.catalog import Catalog
from curation.selection.pairs import SplitQuotas, compute_quotas


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss:
    """What the current data set contains and the planned one does not."""

    num_clips: int
    """Clips that have samples now and would have none."""
    num_samples: int
    """Samples whose motion is outside the planned range."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Counts of a planned selection."""

    dataset: FinishedDataset
    config: CurationConfig
    splits: dict[str, SplitQuotas]
    num_clips: int
    """Clips in the listing."""
    num_measured: int
    """Clips whose pairs were measured."""
    num_pairs: int
    """Measured pairs of these clips."""
    loss: Loss
    num_bytes: int | None
    """Estimated size of all shards, from the mean size of the current samples. None if there are no samples now."""

    @property
    def num_kept(self) -> int:
        """Samples that the plan keeps."""
        return sum(int(quotas.num_kept.sum()) for quotas in self.splits.values())

    @property
    def num_kept_clips(self) -> int:
        """Clips of which the plan keeps samples."""
        return sum(len(quotas.kept_clips) for quotas in self.splits.values())

    def num_shards(self, split: str) -> int:
        """Return the number of shards of a split."""
        return math.ceil(int(self.splits[split].num_kept.sum()) / self.config.samples_per_shard)


def make_plan(dataset: FinishedDataset, catalog: Catalog, config: CurationConfig) -> Plan:
    """Count what selection would keep of the catalog's clips. Raises DatasetError for a damaged flow table."""
    clips = dataset.own_clips.select(["clip_key", "verdict", "num_pairs", "num_kept"]).to_pylist()
    measured = [clip for clip in clips if clip["verdict"] in MEASURED]
    split_of_clip = {clip["clip_key"]: catalog.clips[clip["clip_key"]].split for clip in measured}
    splits = compute_quotas(dataset.parts, split_of_clip, config)
    num_kept = {key: number for quotas in splits.values() for key, number in quotas.kept_clips.items()}
    entries = dataset.manifest.splits.values()
    num_samples_now = sum(entry.num_samples for entry in entries)
    num_bytes_now = sum(shard.num_bytes for entry in entries for shard in entry.shards)
    return Plan(
        dataset=dataset,
        config=config,
        splits=splits,
        num_clips=len(clips),
        num_measured=len(measured),
        num_pairs=sum(clip["num_pairs"] for clip in measured),
        loss=Loss(
            num_clips=sum(clip["num_kept"] > 0 and clip["clip_key"] not in num_kept for clip in measured),
            num_samples=_count_samples_outside(dataset, config),
        ),
        num_bytes=num_bytes_now * sum(num_kept.values()) // num_samples_now if num_samples_now else None,
    )


def _count_samples_outside(dataset: FinishedDataset, config: CurationConfig) -> int:
    """Count the current samples in bins outside the planned range. Bins are 1 px wide."""
    counts: collections.Counter[int] = collections.Counter()
    for entry in dataset.manifest.splits.values():
        counts.update(dict(zip(entry.motion_histogram.bin_edges, entry.motion_histogram.counts, strict=False)))
    return sum(n for low, n in counts.items() if low + 1 <= config.min_motion or low >= config.max_motion)
