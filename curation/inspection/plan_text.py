"""Plan -> text for the terminal: funnel, splits, motion histograms before and after, losses."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from curation.inspection.plan import Plan
from curation.inspection.web.number_format import format_bytes, format_percent
from curation.selection.flatten import compute_flatness
from curation.selection.pair_counts import compute_bin_edges
from curation.target_histogram import describe_balance

_BAR_WIDTH = 28
_MAX_HISTOGRAM_LINES = 40


def format_plan(plan: Plan) -> str:
    """Format a plan for the terminal."""
    if not plan.splits:
        return f"{plan.dataset.out}: no clip was measured, so there are no pairs to select from. Nothing was written."
    return "\n".join(
        [
            *_format_funnel(plan),
            "",
            *_format_splits(plan),
            "",
            *_format_histograms(plan),
            "",
            *_format_loss(plan),
            *_format_size(plan),
        ]
    )


def _format_funnel(plan: Plan) -> Iterable[str]:
    config = plan.config
    yield (
        f"{plan.dataset.out}: motion from {config.min_motion:g} to {config.max_motion:g} px, "
        f"up to {config.pairs_per_gif:,} pairs per GIF"
    )
    yield f"  histogram {describe_balance(config.balance)}, seed {config.seed}"
    num_in_range = np.concatenate([quotas.num_in_range for quotas in plan.splits.values()])
    yield f"  {'rows':10}{plan.dataset.manifest.listing.num_rows:>12,}"
    yield f"  {'clips':10}{plan.num_clips:>12,}"
    yield f"  {'measured':10}{plan.num_measured:>12,}  with {plan.num_pairs:,} pairs"
    yield f"  {'in range':10}{np.count_nonzero(num_in_range):>12,}  with {num_in_range.sum():,} pairs"
    yield f"  {'kept':10}{plan.num_kept_clips:>12,}  with {plan.num_kept:,} pairs"


def _format_splits(plan: Plan) -> Iterable[str]:
    yield f"  {'split':10}{'clips':>12}{'pairs':>14}{'shards':>10}{'size':>12}"
    for split, quotas in plan.splits.items():
        num_kept = int(quotas.num_kept.sum())
        size = "" if plan.num_bytes is None else format_bytes(plan.num_bytes * num_kept // max(plan.num_kept, 1))
        yield f"  {split:10}{len(quotas.kept_clips):>12,}{num_kept:>14,}{plan.num_shards(split):>10,}{size:>12}"


def _format_histograms(plan: Plan) -> Iterable[str]:
    """Print both histograms side by side, summed over splits. Merges adjacent bins to stay within 40 lines."""
    before, after = (
        np.array([getattr(quotas, name) for quotas in plan.splits.values()]).sum(axis=0)
        for name in ("in_range_histogram", "kept_histogram")
    )
    edges = compute_bin_edges(plan.config)
    flatness_before, flatness_after = compute_flatness(before), compute_flatness(after)
    # Skip the empty bins above the largest motion.
    end = int(np.flatnonzero(before).max(initial=0)) + 1
    bins_per_line = -(-end // _MAX_HISTOGRAM_LINES)
    starts = range(0, end, bins_per_line)
    before, after = (np.add.reduceat(counts[:end], starts) for counts in (before, after))
    yield f"  {'motion, px':>12}  {'pairs in range':{_BAR_WIDTH + 8}}  pairs kept"
    for line, start in enumerate(starts):
        interval = f"{edges[start]} to {edges[min(start + bins_per_line, end)]}"
        yield f"  {interval:>12}  {_format_bar(before, line)}  {_format_bar(after, line).rstrip()}"
    if flatness_before is not None and flatness_after is not None:
        yield f"  flatness {flatness_before:.1%} in range, {flatness_after:.1%} kept (100% is flat)"


def _format_bar(counts: NDArray[np.int64], line: int) -> str:
    length = round(_BAR_WIDTH * counts[line] / max(counts.max(), 1))
    return f"{format_percent(counts[line], counts.sum()):>7} {'█' * length:{_BAR_WIDTH}}"


def _format_loss(plan: Plan) -> Iterable[str]:
    entries = plan.dataset.manifest.splits.values()
    num_samples, num_clips = sum(entry.num_samples for entry in entries), sum(entry.num_clips for entry in entries)
    yield (
        f"The data set now has {num_samples:,} samples of {num_clips:,} clips, "
        f"the plan {plan.num_kept:,} of {plan.num_kept_clips:,}."
    )
    yield f"  {plan.loss.num_clips:,} of the present clips would have no pair left"
    yield f"  {plan.loss.num_samples:,} of the present samples are outside the motion range"


def _format_size(plan: Plan) -> Iterable[str]:
    if plan.num_bytes is None:
        yield "The size is unknown: the data set has no samples to estimate it from. Nothing was written."
        return
    num_shards = sum(plan.num_shards(split) for split in plan.splits)
    shards = f"{num_shards:,} {'shard' if num_shards == 1 else 'shards'}"
    yield f"Estimated size: {format_bytes(plan.num_bytes)} in {shards}. Nothing was written."
