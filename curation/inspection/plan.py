"""What a run with other thresholds would keep of a finished data set: counted from its flow table, nothing written.

The counts are those of selection itself (`selection.py`), so what is announced is what is kept, but that near copies
are not looked for anew where splits are other ones. Bytes and time are estimates: bytes by what the samples of the
data set weigh now, time by what this machine does with a few of its frames.
"""

import collections
import dataclasses
import math
import statistics
from collections.abc import Mapping

from curation.config import CurationConfig
from curation.export.dataset import MEASURED, FinishedDataset
from curation.inspection.plan_cost import KeptClip, estimate_seconds, time_this_machine
from curation.listing.catalog import Catalog
from curation.selection.pairs import SplitQuotas, compute_quotas


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss:
    """What of the present data set the planned one would not have."""

    num_clips: int
    """Clips that have samples now and would have none."""
    num_samples: int
    """Samples in bins that lie outside the planned range."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What would be made."""

    dataset: FinishedDataset
    config: CurationConfig
    workers: int
    splits: dict[str, SplitQuotas]
    num_clips: int
    """Of the listing."""
    num_measured: int
    """Clips whose pairs were measured."""
    num_pairs: int
    """That were measured of them."""
    loss: Loss
    num_bytes: int | None
    """Of all shards, about; None where there is no sample to weigh."""
    seconds: float | None
    """To make it, about; None likewise."""

    @property
    def num_kept(self) -> int:
        """Samples that would be made."""
        return sum(int(quotas.num_kept.sum()) for quotas in self.splits.values())

    def num_shards(self, split: str) -> int:
        """Shards that a split would have."""
        return math.ceil(int(self.splits[split].num_kept.sum()) / self.config.samples_per_shard)


def make_plan(dataset: FinishedDataset, catalog: Catalog, config: CurationConfig, workers: int) -> Plan:
    """Count what selection would keep of the catalogue's clips. Raises DatasetError for a damaged table."""
    clips = dataset.own_clips.select(
        ["clip_key", "verdict", "width", "height", "num_frames", "num_pairs", "num_kept"]
    ).to_pylist()
    measured = {clip["clip_key"]: clip for clip in clips if clip["verdict"] in MEASURED}
    quotas = compute_quotas(dataset.parts, {key: catalog.clips[key].split for key in measured}, config)
    num_kept = {key: number for one in quotas.values() for key, number in one.kept_clips.items()}
    kept = {
        key: KeptClip(
            num_frames=measured[key]["num_frames"],
            num_pixels=measured[key]["width"] * measured[key]["height"],
            num_pairs=number,
        )
        for key, number in num_kept.items()
    }
    present = sum(entry.num_samples for entry in dataset.manifest.splits.values())
    num_bytes = sum(shard.num_bytes for entry in dataset.manifest.splits.values() for shard in entry.shards)
    return Plan(
        dataset=dataset,
        config=config,
        workers=workers,
        splits=quotas,
        num_clips=len(clips),
        num_measured=len(measured),
        num_pairs=sum(clip["num_pairs"] for clip in measured.values()),
        loss=_find_loss(dataset, config, {key for key, clip in measured.items() if clip["num_kept"]} - kept.keys()),
        num_bytes=num_bytes * sum(num_kept.values()) // present if present else None,
        seconds=_estimate(dataset, kept, config, workers),
    )


def _find_loss(dataset: FinishedDataset, config: CurationConfig, lost_clips: set[str]) -> Loss:
    """Count by the present histogram, whose bins are a pixel wide."""
    counts: collections.Counter[int] = collections.Counter()
    for entry in dataset.manifest.splits.values():
        counts.update(dict(zip(entry.motion_histogram.bin_edges, entry.motion_histogram.counts, strict=False)))
    outside = sum(n for low, n in counts.items() if low + 1 <= config.min_motion or low >= config.max_motion)
    return Loss(num_clips=len(lost_clips), num_samples=outside)


def _estimate(
    dataset: FinishedDataset, kept: Mapping[str, KeptClip], config: CurationConfig, workers: int
) -> float | None:
    shards = [
        dataset.out / split / shard.name
        for split, entry in dataset.manifest.splits.items()
        for shard in entry.shards[:1]
        if shard.num_samples
    ]
    if not kept or not shards or not shards[0].is_file():
        return None
    side = max(1, round(math.sqrt(statistics.median(clip.num_pixels for clip in kept.values()))))
    return estimate_seconds(kept.values(), time_this_machine(shards[0], side, side, config), workers)
