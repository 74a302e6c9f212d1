"""A plan -> lines for a terminal: the funnel, the splits, the histogram before and after, what would be lost."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from curation.inspection.plan import Plan
from curation.inspection.web.number_format import in_percent, in_time, in_units
from curation.selection.flatten import compute_flatness
from curation.selection.pair_counts import compute_bin_edges
from curation.target_histogram import describe_balance

_BAR = 28
_MAX_LINES = 40


def format_plan(plan: Plan) -> str:
    """Lay a plan out."""
    return "\n".join([*_funnel(plan), "", *_splits(plan), "", *_histogram(plan), "", *_loss(plan), *_cost(plan)])


def _funnel(plan: Plan) -> Iterable[str]:
    config = plan.config
    cap = f"{config.pairs_per_gif:,} pairs a GIF at most"
    yield f"{plan.dataset.out}: pairs of {config.min_motion:g} to {config.max_motion:g} px, {cap}"
    yield f"  histogram {describe_balance(config.balance)}, seed {config.seed}"
    num_in_range = [number for one in plan.splits.values() for number in one.num_in_range.tolist()]
    yield f"  {'rows':10}{plan.dataset.manifest.listing.num_rows:>12,}"
    yield f"  {'clips':10}{plan.num_clips:>12,}"
    yield f"  {'measured':10}{plan.num_measured:>12,}  with {plan.num_pairs:,} pairs"
    yield f"  {'in range':10}{sum(map(bool, num_in_range)):>12,}  with {sum(num_in_range):,} pairs"
    yield f"  {'kept':10}{sum(len(one.kept_clips) for one in plan.splits.values()):>12,}  with {plan.num_kept:,} pairs"


def _splits(plan: Plan) -> Iterable[str]:
    yield f"  {'split':10}{'clips':>12}{'pairs':>14}{'shards':>10}{'size':>12}"
    for split, quotas in plan.splits.items():
        num_kept = int(quotas.num_kept.sum())
        size = "" if plan.num_bytes is None else in_units(plan.num_bytes * num_kept // max(plan.num_kept, 1))
        yield f"  {split:10}{len(quotas.kept_clips):>12,}{num_kept:>14,}{plan.num_shards(split):>10,}{size:>12}"


def _histogram(plan: Plan) -> Iterable[str]:
    """Bins of both histograms side by side, of all splits; several pixels a line where there are many."""
    before, after = (
        np.array([getattr(one, name) for one in plan.splits.values()]).sum(axis=0)
        for name in ("in_range_histogram", "kept_histogram")
    )
    edges, flat = compute_bin_edges(plan.config), [compute_flatness(counts) for counts in (before, after)]
    # Above the fastest pair there is nothing to show.
    end = int(np.flatnonzero(before).max(initial=0)) + 1
    width = -(-end // _MAX_LINES)
    starts = range(0, end, width)
    before, after = (np.add.reduceat(counts[:end], starts) for counts in (before, after))
    yield f"  {'motion, px':>12}  {'pairs in range':{_BAR + 8}}  pairs kept"
    for place, low in enumerate(starts):
        span = f"{edges[low]} to {edges[min(low + width, end)]}"
        yield f"  {span:>12}  {_bar(before, place)}  {_bar(after, place).rstrip()}"
    if flat[0] is not None and flat[1] is not None:
        yield f"  {flat[0]:.1%} of flat in range, {flat[1]:.1%} of flat as kept"


def _bar(counts: NDArray[np.int64], place: int) -> str:
    share, most = (counts[place] / max(counts.sum(), 1)), max(counts.max(), 1)
    return f"{in_percent(share):>7} {'█' * round(_BAR * counts[place] / most):{_BAR}}"


def _loss(plan: Plan) -> Iterable[str]:
    now = plan.dataset.manifest.splits.values()
    num_samples, num_clips = sum(one.num_samples for one in now), sum(one.num_clips for one in now)
    yield f"Now there are {num_samples:,} samples of {num_clips:,} clips. Of these would be lost:"
    yield f"  {plan.loss.num_clips:,} clips, left without a pair"
    yield f"  {plan.loss.num_samples:,} samples, in bins outside the range"


def _cost(plan: Plan) -> Iterable[str]:
    if plan.num_bytes is None or plan.seconds is None:
        yield "There is no sample to weigh, so bytes and time are not known. Nothing was written."
        return
    num_shards = sum(plan.num_shards(split) for split in plan.splits)
    workers = "1 worker" if plan.workers == 1 else f"{plan.workers} workers"
    yield (
        f"About {in_units(plan.num_bytes)} in {num_shards:,} {'shard' if num_shards == 1 else 'shards'}, made in about "
        f"{in_time(plan.seconds)} by {workers}, once the GIFs are at hand. Nothing was written."
    )
